"""What a tracker is told of a training, apart from its epochs: settings before, model and misread images after.

Best and last checkpoint of a run are `<model>/model.safetensors` and `checkpoints/last.safetensors`: weights alone. The
optimiser's state, which going on from a checkpoint needs too, is of use to the same training only: it stays in its work
folder, and goes when the training has ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from safetensors.torch import save

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.model.folder import REFERENCE_FILE
from secondread.training.checkpoint import CheckpointFolder
from secondread.training.fit import CHECKPOINTS, Fitted, run_parameters
from secondread.training.misread import MISREAD_FILE, misread_sheet
from secondread.training.start import Start

if TYPE_CHECKING:
    # MLflow is no dependency of training
    from secondread.tracking.runs import RunTracker, TrackingConfig

SETTINGS_FILE = "train-config.json"
LAST_FILE = "checkpoints/last.safetensors"
RECORD = "tracking"  # folder of the run's record in the work folder: every process and every later try sees it


@contextmanager
def open_tracker(
    tracking: TrackingConfig | None, work: Path, *, output: Path, storage: str = ""
) -> Iterator[RunTracker | None]:
    """The run to write to, begun or gone on with; None where nothing is tracked.

    Args:
        tracking: where.
        work: folder of the training.
        output: model folder; a record that MLflow lacks some of is left beside it, or in
        storage: a folder on a volume, where a pod takes the output with it.
    Raises:
        DependencyError: the tracker does not answer at the start.
    """
    if tracking is None:
        yield None
        return
    from secondread.tracking.training_run import open_training_run

    with open_training_run(tracking, work / RECORD, left=_left(output, storage)) as run:
        yield run


def abandon_trackers(tracking: TrackingConfig | None, folder: Path, *, output: Path, storage: str = "") -> None:
    """End the runs of what was cut and is not gone on with: MLflow would show them as running for ever.

    Args:
        tracking: where; None where nothing is tracked any more.
        folder: that a training, or one of several, worked in.
        output: model folder; a record that MLflow lacks some of is left beside it, or in
        storage: a folder on a volume, where a pod takes the output with it.
    """
    for record in sorted(path for path in folder.rglob(RECORD) if path.is_dir()):
        from secondread.tracking.training_run import abandon_training_run

        abandon_training_run(tracking, record, left=_left(output, storage))


def _left(output: Path, storage: str) -> Path:
    return (Path(storage) if storage else output.parent) / f"{output.name}.tracking"


@contextmanager
def join_tracker(work: Path, *, tracked: bool) -> Iterator[RunTracker | None]:
    """The run that whoever started this process has opened, and sends to MLflow; None where nothing is tracked.

    Args:
        work: folder of the training.
        tracked: there is such a run, and this process is the one that notes something in it.
    """
    if not tracked:
        yield None
        return
    from secondread.tracking.training_run import join_training_run

    run = join_training_run(work / RECORD)
    try:
        yield run
    finally:
        run.rest()


def tell_start(tracker: RunTracker, dataset: DatasetVersion, config: TrainConfig, start: Start | None) -> None:
    """Write down what is about to be trained, and make sure that it arrives: nobody should train for hours otherwise.

    Raises:
        DependencyError: the tracker, or its store of files, does not answer.
    """
    began = {} if start is None else {"start.dataset_version": start.dataset_version, "start.labelled": start.labelled}
    tracker.log_params({**run_parameters(dataset, config), **began})
    tracker.log_file(SETTINGS_FILE, (json.dumps(asdict(config), indent=2) + "\n").encode())
    tracker.confirm()


def tell_end(
    tracker: RunTracker,
    dataset: DatasetVersion,
    output: Path,
    *,
    metrics: Mapping[str, float | int | None],
    fitted: Fitted,
    work: Path,
) -> None:
    """Write down what came of it: figures of the served graph, the model, its last weights, and what it reads wrong.

    Args:
        tracker: of the run.
        dataset: that it was trained on.
        output: model folder.
        metrics: figures on val, by name; None where val cannot tell.
        fitted: what the training gave.
        work: folder of the training, with its checkpoints.
    """
    known = {f"served_val_{name}": float(value) for name, value in metrics.items() if value is not None}
    tracker.log_metrics(known, fitted.best_epoch)
    tracker.log_folder(output)
    last = CheckpointFolder(work / CHECKPOINTS).latest()
    if last:
        tracker.log_file(LAST_FILE, save({name: tensor.contiguous() for name, tensor in last["model"].items()}))
    sheet = misread_sheet(dataset.split("val"), pd.read_parquet(output / REFERENCE_FILE))
    if sheet:
        tracker.log_file(MISREAD_FILE, sheet)
