"""Writes checkpoints while a training runs, ends it when it is asked to, and puts it back to where a checkpoint was.

A training that goes on from a checkpoint comes to the same weights, bit for bit on the CPU, as one that was never cut.
No state of a random number generator is kept for that: those of each step follow from seed, epoch, step and process.
Threads and precision are, which a recipe may leave to the machine: those of another would come to other weights.
"""

# ruff: noqa: ARG002 - Lightning passes these arguments by name

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from secondread.errors import DependencyError, StoppedError
from secondread.logging import get_logger
from secondread.training.batches import TrainOrder
from secondread.training.best import KeepBest
from secondread.training.checkpoint import CheckpointFolder
from secondread.training.ema import WeightAverage
from secondread.training.epochs import EpochFigures, EpochLog
from secondread.training.sharded import load_optimizer, load_state, whole_optimizer, whole_state
from secondread.training.stop import StopRequest

if TYPE_CHECKING:
    from secondread.training.module import Classifier

log = get_logger(__name__)


@dataclass(frozen=True)
class Kept:
    """Where the state of a training lies, besides the module.

    Attributes:
        order: of the training batches.
        epoch_log: has the figures of all epochs.
        best: has the best weights.
        average: of the weights; None without.
    """

    order: TrainOrder
    epoch_log: EpochLog
    best: KeepBest
    average: WeightAverage | None


class Checkpoints(Callback):
    """Writes a checkpoint after each epoch, and inside a long one; the last of our callbacks.

    Args:
        folder: for the checkpoints; None: none are written, and a training that is stopped begins anew.
        kept: what is saved besides the module.
        found: checkpoint to go on from; None at the beginning.
        minutes: between two checkpoints inside an epoch.
    """

    def __init__(
        self, folder: CheckpointFolder | None, kept: Kept, *, found: Mapping[str, Any] | None, minutes: float
    ) -> None:
        self._folder = folder
        self._kept = kept
        self._found = found
        self._minutes = minutes
        self._stop = StopRequest(folder.root if folder else None)
        self._started = self._written = time.monotonic()
        self._skipped = 0  # steps of the running epoch that an earlier run did
        if found:
            kept.order.go_on(found["epoch"], found["step"])

    @property
    def seconds(self) -> float:
        """Since the training began, time between a kill and the next run left out."""
        return time.monotonic() - self._started + (self._found["seconds"] if self._found else 0.0)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        """Go on from the checkpoint, if there is one. Lightning's own handler of SIGTERM is in place by now.

        Raises:
            DependencyError: the processes found different checkpoints.
        """
        self._stop.listen()
        self._started = self._written = time.monotonic()
        found = self._found
        places = _of_all(trainer, torch.tensor([found["epoch"], found["step"]] if found else [0, 0]))
        if not (places == places[0]).all():
            seen = ", ".join(f"{int(epoch)}/{int(step)}" for epoch, step in places.tolist())
            raise DependencyError(
                f"the training processes do not see the same checkpoint (epochs/steps done: {seen}). Look after the "
                "volume that train.storage lies on, and start the run again."
            )
        if found:
            self._restore(found, trainer, pl_module)
        if self._kept.average:
            steps = (found["epoch"] * len(self._kept.order) + found["step"]) if found else 0
            self._kept.average.begin(pl_module, steps=steps)
            if found:
                load_state(self._kept.average.tensors, found["average"])

    def on_train_batch_start(  # type: ignore[override]
        self, trainer: lightning.Trainer, pl_module: Classifier, batch: Any, batch_idx: int
    ) -> None:
        """Count the steps of the epoch that were done before the kill as done."""
        if self._skipped and self._found:
            progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
            progress.ready += self._skipped
            progress.started += self._skipped
            progress.processed += self._skipped
            progress.completed += self._skipped
            self._skipped = 0
            pl_module.train_sums = self._found["sums"][pl_module.global_rank].clone()
            self._kept.epoch_log.started_before(self._found["epoch_seconds"])

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: lightning.Trainer, pl_module: Classifier, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a checkpoint if it is time to, or if this or another process was asked to end."""
        due = self._folder is not None and time.monotonic() - self._written >= self._minutes * 60
        due, stop = _any_process(trainer, due, self._stop.heard())
        done = trainer.fit_loop.batch_idx + 1
        if (due or stop) and done < len(self._kept.order):  # else the end of the epoch is near, and writes its own
            self._write(trainer, pl_module, epoch=trainer.current_epoch, step=done)
            if stop:
                self._end(f"in epoch {trainer.current_epoch + 1} after step {done}")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        """Write a checkpoint."""
        epoch = trainer.current_epoch + 1
        self._write(trainer, pl_module, epoch=epoch, step=0)
        _, stop = _any_process(trainer, False, self._stop.heard())
        if stop:
            self._end(f"after epoch {epoch}")

    def _end(self, where: str) -> None:
        way = "goes on from there" if self._folder else "begins anew, since it was not told where to keep checkpoints"
        raise StoppedError(
            f"training was stopped {where}{f' by {self._stop.name}' if self._stop.name else ''}. "
            f"The same command, run again, {way}."
        )

    def _write(self, trainer: lightning.Trainer, module: Classifier, *, epoch: int, step: int) -> None:
        if self._folder is None:
            return
        best, average = self._kept.best, self._kept.average
        content = {
            "epoch": epoch,
            "step": step,
            "model": whole_state(module.model.state_dict()),
            "optimizer": whole_optimizer(trainer.optimizers[0]),
            "schedule": trainer.lr_scheduler_configs[0].scheduler.state_dict(),
            "average": whole_state(average.tensors) if average else {},
            "best_epoch": best.epoch,
            "best": best.state,
            "figures": [asdict(figures) for figures in self._kept.epoch_log.figures],
            "sums": _of_all(trainer, module.train_sums),
            "threads": [int(own) for (own,) in _of_all(trainer, torch.tensor([torch.get_num_threads()])).tolist()],
            "precision": trainer.precision,
            "seconds": self.seconds,
            "epoch_seconds": self._kept.epoch_log.seconds_so_far,
        }
        if trainer.is_global_zero:
            self._folder.write(content, epoch=epoch, step=step)
        self._written = time.monotonic()

    def _restore(self, found: Mapping[str, Any], trainer: lightning.Trainer, module: Classifier) -> None:
        load_state(module.model.state_dict(), found["model"])
        load_optimizer(trainer.optimizers[0], found["optimizer"])
        trainer.lr_scheduler_configs[0].scheduler.load_state_dict(dict(found["schedule"]))
        self._kept.best.epoch, self._kept.best.state = found["best_epoch"], found["best"]
        self._kept.epoch_log.figures[:] = [EpochFigures(**figures) for figures in found["figures"]]
        self._kept.best.end_early(trainer)  # it may have been the last epoch
        done: Any = trainer.fit_loop.epoch_progress.current
        done.ready = done.started = done.processed = done.completed = found["epoch"]
        self._skipped = found["step"]
        if trainer.is_global_zero:
            where = f", step {found['step'] + 1}" if found["step"] else ""
            log.info(
                "going on where a run was cut: epoch %d of %d%s; with threads and precision as it began: %d, %s",
                *(found["epoch"] + 1, trainer.max_epochs, where, torch.get_num_threads(), trainer.precision),
            )


def _any_process(trainer: lightning.Trainer, *flags: bool) -> list[bool]:
    """Each flag, true on all processes if it is true on any, so that they do the same."""
    if trainer.world_size == 1:
        return list(flags)
    raised = torch.tensor(flags, dtype=torch.int32, device=trainer.strategy.root_device)
    torch.distributed.all_reduce(raised, op=torch.distributed.ReduceOp.MAX)
    return [bool(flag) for flag in raised.tolist()]


def _of_all(trainer: lightning.Trainer, own: Tensor) -> Tensor:
    """float64 (processes, n): the n numbers of each process."""
    table = torch.zeros(trainer.world_size, len(own), dtype=torch.float64, device=trainer.strategy.root_device)
    table[trainer.global_rank] = own.to(table.device)
    if trainer.world_size > 1:
        torch.distributed.all_reduce(table)  # the others' rows are 0 here, so each sum is exact
    return table.cpu()
