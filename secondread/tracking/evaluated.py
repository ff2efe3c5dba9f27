"""An evaluation, added to the run that trained the model: figures with their bounds, and the pages for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from secondread.evaluation.folder import REPORT_FILE, SUMMARY_FILE
from secondread.evaluation.results import EVALUATION_FILE
from secondread.model.folder import CARD_FILE
from secondread.tracking.addition import add_to_run

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
    """Add an evaluation to a run. Doing it again changes nothing but when the figures were told.

    Args:
        uri: of MLflow.
        run_id: of the run that trained the model.
        folder: that the evaluation wrote.
        figures: as in `metrics_of`.
        split: that was evaluated.
        left: folder for the record; it is there afterwards only where MLflow lacks some of it, to be sent with
            `secondread train track --complete`.
    Returns:
        Whether MLflow has everything. It is asked three times, for some seconds.
    """
    files = {f"{artifact_folder(split)}/{name}": (folder / name).read_bytes() for name in FILES}
    return add_to_run(uri, run_id, metrics=metrics_of(figures, split), files=files, left=left)
