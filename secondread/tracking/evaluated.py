"""What was found of a model, added to the run that trained it: figures with their bounds, and the pages for people.

The run has ended by then; its status and times stay as they are. As in training, all of it is written down on disk
first, so that a step neither fails nor is lost because MLflow is away.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from secondread.evaluation.folder import REPORT_FILE, SUMMARY_FILE
from secondread.evaluation.results import EVALUATION_FILE
from secondread.model.folder import CARD_FILE
from secondread.tracking.record import RunRecord
from secondread.tracking.runs import open_client, without_password
from secondread.tracking.sender import Sender
from secondread.tracking.training_run import tell_how_to_complete

FILES = (EVALUATION_FILE, REPORT_FILE, SUMMARY_FILE, CARD_FILE)
# The verdict of record has the plain names; on val, training has told the values under these already
_PREFIXES = {"test": "", "val": "served_val_"}

Figures = Mapping[str, Mapping[str, float | None]]


def artifact_folder(split: str) -> str:
    """Where the files of an evaluation lie among a run's artifacts."""
    return f"evaluation/{split}"


def metrics_of(figures: Figures, split: str) -> dict[str, float]:
    """Figures as MLflow has them: `accuracy`, `accuracy_low`, `accuracy_high`; of val `served_val_accuracy` and so on.

    Args:
        figures: by name, each `{"value", "low", "high"}`; what cannot be known is null, and left out.
        split: that they are of; of another than test and val, its name stands before.
    """
    prefix = _PREFIXES.get(split, f"{split}_")
    ends = {"value": "", "low": "_low", "high": "_high"}
    return {
        re.sub(r"[^\w.\- :/]", "_", f"{prefix}{name}{ends[end]}"): value  # what MLflow takes in a name
        for name, figure in figures.items()
        for end, value in figure.items()
        if value is not None
    }


def add_evaluation(uri: str, run_id: str, folder: Path, *, figures: Figures, split: str, left: Path) -> bool:
    """Add an evaluation to a run: see `add_to_run`.

    Args:
        uri: as there.
        run_id: as there.
        folder: that the evaluation wrote.
        figures: as in `metrics_of`.
        split: that was evaluated.
        left: as there.
    """
    files = {f"{artifact_folder(split)}/{name}": folder / name for name in FILES}
    return add_to_run(uri, run_id, metrics=metrics_of(figures, split), files=files, left=left)


def add_to_run(uri: str, run_id: str, *, metrics: Mapping[str, float], files: Mapping[str, Path], left: Path) -> bool:
    """Add figures and files to a run that has ended. Doing it again changes nothing but when the figures were told.

    Args:
        uri: of MLflow.
        run_id: of the run that trained the model.
        metrics: by name.
        files: by their place among the run's artifacts.
        left: folder for the record; it is there afterwards only where MLflow lacks some of it, to be sent with
            `secondread train track --complete`.
    Returns:
        Whether MLflow has everything. It is asked three times, for some seconds.
    """
    record = RunRecord.create(left, run_id=run_id, place=without_password(uri), addition=True)
    record.add_metrics(dict(metrics), step=0)
    for name, path in files.items():
        record.add_file(name, path.read_bytes())
    whole = Sender(lambda: open_client(uri), record).close(patient=True)
    if whole and record.is_sent():
        shutil.rmtree(left)
        return True
    tell_how_to_complete(record, left)
    return False
