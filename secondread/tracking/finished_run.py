"""A run in MLflow of something that is over, such as an evaluation: nothing fails or is lost while MLflow is away.

All of it is written down on disk first. What MLflow lacks is left there, to be sent with `secondread train track
--complete`, which begins the run where it was not begun.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from secondread.errors import DependencyError
from secondread.logging import get_logger
from secondread.tracking.asked import Asked
from secondread.tracking.origin import Origin
from secondread.tracking.record import NewRun, RunRecord
from secondread.tracking.runs import LONGEST_PARAM, open_client, without_password
from secondread.tracking.sender import Sender
from secondread.tracking.training_run import tell_how_to_complete

TRAINING_TAG = "training_run"  # id of the run that trained the model
_PARENT_TAG, _NAME_TAG = (
    "mlflow.parentRunId",
    "mlflow.runName",
)  # MLflow's own: a run below another, and what it is called
_LONGEST_NAME, _LONGEST_TAG = 245, 8000  # characters that MLflow takes; of a name five more, for `_high`
_AT_ONCE = 100  # parameters or figures an entry of the record: one request takes no more parameters

Value = TypeVar("Value", str, float)

log = get_logger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """What MLflow is told.

    Attributes:
        experiment: name that it belongs under; the model's.
        name: of the run, for people.
        asked: what was asked for.
        origin: the run that trained the model, which this one is shown below; none where nobody knows.
        tags, params: as text.
        metrics: by name.
        curves: values by name, for the steps from 0 on.
        files: by name among the run's files.
    """

    experiment: str
    name: str
    asked: Asked
    origin: Origin
    tags: Mapping[str, str]
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)

    def all_tags(self) -> dict[str, str]:
        """With those that link it to the training."""
        theirs = self.origin.run_id
        link = {TRAINING_TAG: theirs, _PARENT_TAG: theirs} if theirs else {}
        tags = {**self.asked.tags, **self.tags, **link, _NAME_TAG: self.name}
        return {name: text[:_LONGEST_TAG] for name, text in tags.items() if text}

    def all_params(self) -> dict[str, str]:
        """With the settings."""
        params = {**self.asked.settings, **self.params, "dataset_version": self.asked.dataset_version}
        return {name: str(value)[:LONGEST_PARAM] for name, value in params.items() if value not in (None, "")}


def named(*parts: object) -> str:
    """A name of a figure as MLflow takes it, from its parts: `recall/cxr-covid`."""
    return "/".join(re.sub(r"[^\w.\- :]", "_", str(part)) for part in parts)[:_LONGEST_NAME]


def log_finished(uri: str, run: FinishedRun, *, beside: Path) -> str:
    """Write a run down in MLflow. With the same `Asked` again it is the same run.

    Args:
        uri: of MLflow.
        run: what it is told.
        beside: folder or file beside which a record is left where MLflow lacks something, with `.tracking-` and the
            first digits of the run's key behind its name.
    Returns:
        Id of the run; empty where MLflow does not have all of it. It is asked three times, for some seconds.
    """
    left = beside.with_name(f"{beside.name}.tracking-{run.asked.key[:8]}")
    try:
        record = _written(uri, run, left)
    except (OSError, DependencyError) as error:
        log.warning("nothing is written down of '%s': no record can be kept in %s (%s).", run.name, left, error)
        shutil.rmtree(left, ignore_errors=True)
        return ""
    whole = Sender(lambda: open_client(uri), record).close(patient=True)
    record = RunRecord.open(left)  # it has its run by now
    if whole and record.is_sent():
        shutil.rmtree(left)
        return record.run_id
    tell_how_to_complete(record, left)
    return ""


def _written(uri: str, run: FinishedRun, left: Path) -> RunRecord:
    new = NewRun(run.experiment, run.all_tags(), run.asked.key, run.asked.start)
    record = RunRecord.create(left, place=without_password(uri), new=new)
    for params in _parts(run.all_params()):
        record.add_params(params)
    for metrics in _parts(run.metrics):
        record.add_metrics(metrics, step=0)
    for step in range(max(map(len, run.curves.values()), default=0)):
        there = {name: values[step] for name, values in run.curves.items() if step < len(values)}
        record.add_metrics(there, step=step)
    for name, path in run.files.items():
        record.add_file(name, path.read_bytes())
    record.end("FINISHED")
    return record


def _parts(items: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
    names = list(items)
    for first in range(0, len(names), _AT_ONCE):
        yield {name: items[name] for name in names[first : first + _AT_ONCE]}
