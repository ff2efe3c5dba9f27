"""What is seen of training while it runs: a line or bar an epoch, figures for a tracker."""

# ruff: noqa: ARG002 - Lightning passes these arguments by name

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from secondread.logging import get_logger
from secondread.training.device import DEVICE_FILE, device_report

if TYPE_CHECKING:
    # only a protocol is needed, and MLflow is no dependency of training
    from secondread.tracking.runs import RunTracker
    from secondread.training.module import Classifier

log = get_logger(__name__)


@dataclass(frozen=True)
class EpochFigures:
    """One epoch.

    Attributes:
        train_loss: mean over the augmented images, with label smoothing and class weights, in nats.
        val_loss: mean cross-entropy on val, in nats.
        val_accuracy: share of val that is right.
        learning_rate: of the epoch's last step.
        images_per_second: trained on, all processes together, validation not counted.
        val_confusion: images of val; rows are their classes, columns the answers.
        peak_memory_megabytes: most that all processes together held so far; pages that they share count for each.
        peak_gpu_memory_megabytes: most that PyTorch's tensors took on all GPUs so far; 0 without one.
    """

    train_loss: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    images_per_second: float
    val_confusion: list[list[int]] = field(default_factory=list)
    peak_memory_megabytes: float = 0.0
    peak_gpu_memory_megabytes: float = 0.0

    def metrics(self, classes: Sequence[str]) -> dict[str, float]:
        """As a tracker has them: `val_precision/cxr-covid` and so on for each class.

        A class that was never answered has no precision, and one without images no recall.
        """
        figures = {
            "train_loss": self.train_loss,
            "val_loss": self.val_loss,
            "val_accuracy": self.val_accuracy,
            "learning_rate": self.learning_rate,
            "images_per_second": self.images_per_second,
            "peak_memory_megabytes": self.peak_memory_megabytes,
        }
        if self.peak_gpu_memory_megabytes:
            figures["peak_gpu_memory_megabytes"] = self.peak_gpu_memory_megabytes
        answered = [sum(column) for column in zip(*self.val_confusion, strict=True)]
        for index, (name, row) in enumerate(zip(classes, self.val_confusion, strict=True)):
            allowed = re.sub(r"[^\w.\- :]", "_", name)  # what MLflow takes in a name
            if answered[index]:
                figures[f"val_precision/{allowed}"] = row[index] / answered[index]
            if sum(row):
                figures[f"val_recall/{allowed}"] = row[index] / sum(row)
        return figures


class EpochLog(Callback):
    """Collects the figures of each epoch and shows them; tells the tracker on rank zero only.

    Args:
        images: training images of an epoch, all processes together.
        classes: names, in the order of the model's outputs.
        tracker: of the run; None where nothing is tracked.
    """

    def __init__(self, *, images: int, classes: Sequence[str], tracker: RunTracker | None) -> None:
        self.figures: list[EpochFigures] = []
        self._images = images
        self._classes = classes
        self._tracker = tracker
        self._started = 0.0
        self._seconds = 0.0

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Say what is trained on, and watch it."""
        if self._tracker is not None and trainer.is_global_zero:
            self._tracker.log_file(DEVICE_FILE, device_report().encode())
            self._tracker.watch_system()

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Watch no more."""
        self._rest()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Watch no more."""
        self._rest()

    def _rest(self) -> None:
        if self._tracker is not None:
            self._tracker.rest()

    @property
    def seconds_so_far(self) -> float:
        """Since the running epoch started."""
        return time.perf_counter() - self._started

    def started_before(self, seconds: float) -> None:
        """Count what a run that was cut spent on the running epoch."""
        self._started -= seconds

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop the clock: validation is not training."""
        self._seconds = time.perf_counter() - self._started

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        """Collect, show, track. Validation has run by now."""
        figures = EpochFigures(
            **pl_module.epoch_figures(),
            learning_rate=float(trainer.optimizers[0].param_groups[0]["lr"]),
            images_per_second=self._images / self._seconds,
        )
        self.figures.append(figures)
        if not trainer.is_global_zero:
            return
        epoch = len(self.figures)
        if self._tracker is not None:
            self._tracker.log_metrics(figures.metrics(self._classes), epoch)
        if not sys.stderr.isatty():
            log.info("epoch %d of %d: %s", epoch, trainer.max_epochs, _line(figures))


class EpochBar(Callback):
    """On a terminal, a bar over the epochs with the latest figures; it goes away when training ends."""

    def __init__(self, epoch_log: EpochLog) -> None:
        self._log = epoch_log
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show it."""
        self._bar.start()
        self._bar.add_task("training", total=trainer.max_epochs)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin where a run that was cut had got to; the checkpoint is restored by now."""
        self._bar.reset(self._bar.task_ids[0], completed=len(self._log.figures))

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Move on."""
        self._bar.update(self._bar.task_ids[0], advance=1, description=_line(self._log.figures[-1]))

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Take it away, also after an error."""
        self._bar.stop()


def _line(figures: EpochFigures) -> str:
    return (
        f"train loss {figures.train_loss:.3f}, val loss {figures.val_loss:.3f}, "
        f"val accuracy {figures.val_accuracy:.3f}, {figures.images_per_second:.0f} images/s"
    )
