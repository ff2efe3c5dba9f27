"""A comparison in MLflow: a run of its own, with the trainings below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from secondread.errors import DependencyError, InputError
from secondread.logging import get_logger
from secondread.tracking.runs import MlflowRun, TrackingConfig, open_client, open_run
from secondread.training.comparison.summary import COSTS

_PARENT = "mlflow.parentRunId"  # the tag by which MLflow shows a run below another
_NAME = "mlflow.runName"

log = get_logger(__name__)


class Tracked:
    """Where a comparison is written down.

    The comparison's own run is opened when all trainings are done, and they are put below it then: one that was killed
    leaves no run that never ends.

    Args:
        uri: of MLflow; empty: nowhere.
        experiment: name that runs are grouped under.
        name: of the comparison, for people.
        tags: of all its runs.
    """

    def __init__(self, uri: str, experiment: str, *, name: str, tags: Mapping[str, str]) -> None:
        self._uri, self._experiment, self._name, self._tags = uri, experiment, name, dict(tags)

    @property
    def environment(self) -> dict[str, str]:
        """What a training's process must know; not in its job file, since an address may hold a password."""
        return {"MLFLOW_TRACKING_URI": self._uri} if self._uri else {}

    def tags_of(self, strategy: str, seed: int) -> dict[str, str] | None:
        """Tags of one training; None where nothing is written down."""
        known = {"comparison": self._name, "strategy": strategy, "seed": str(seed), _NAME: f"{strategy}, seed {seed}"}
        return self._tags | known if self._uri else None

    def write(self, record: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Write the comparison down. If MLflow is gone by now, the trainings are not lost for that: it is only said."""
        if not self._uri:
            return
        try:
            self._write(record, files)
        except (DependencyError, InputError) as error:
            log.warning("the comparison is not in MLflow: %s", error)

    def _write(self, record: Mapping[str, Any], files: Sequence[Path]) -> None:
        own = {"comparison": self._name, "dataset_version": record["dataset_version"], _NAME: self._name}
        with open_run(TrackingConfig(self._uri, self._experiment, self._tags | own)) as run:
            settings = {name: record[name] for name in ("strategies", "seeds", "split")}
            run.log_params({**settings, "strategies": ", ".join(record["strategies"]), **record["recipe"]})
            run.log_metrics(_means(record), 0)
            run.log_files("comparison", files)
            client = open_client(self._uri)
            for one in record["runs"]:
                training = MlflowRun(client, one["run_id"])
                training.set_tags({_PARENT: run.run_id})
                training.log_metrics({name: one[name] for name in ("wall_seconds", "peak_memory_mib")}, 0)


def _means(record: Mapping[str, Any]) -> dict[str, float]:
    """`single_accuracy`, ... with the bounds of the intervals of accuracy."""
    figures = {}
    for strategy, known in record["strategies"].items():
        for name in ("accuracy", "auroc_macro", "loss", *COSTS):
            if name in known:
                figures[f"{strategy}_{name}"] = known[name]["value"]
        for side in ("low", "high"):
            if known["accuracy"][side] is not None:
                figures[f"{strategy}_accuracy_{side}"] = known["accuracy"][side]
    return figures
