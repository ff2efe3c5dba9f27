"""Keeps the weights of the best epoch of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightning
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from secondread.training.ema import WeightAverage
from secondread.training.epochs import EpochLog
from secondread.training.sharded import whole_state

if TYPE_CHECKING:
    from secondread.training.module import Classifier


class KeepBest(Callback):
    """Keeps a copy of the weights of the epoch with the least loss on val.

    The loss and not the accuracy: on two hundred images the accuracy is the same for many epochs, and whichever came
    first would win.

    Args:
        epoch_log: has the losses.
        average: of the weights, which is kept instead of them; None without.
        patience: epochs without a lower loss after which training ends; 0: it never ends early.
    """

    def __init__(self, epoch_log: EpochLog, *, average: WeightAverage | None, patience: int) -> None:
        self.state: dict[str, Tensor] = {}
        self.epoch = 0
        self._log = epoch_log
        self._average = average
        self._patience = patience

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        """Copy if this epoch is better than all before."""
        losses = [figures.val_loss for figures in self._log.figures]
        if losses[-1] == min(losses):
            self.epoch = len(losses)
            self.state = whole_state(self._average.tensors if self._average else pl_module.model.state_dict())
        self.end_early(trainer)

    def end_early(self, trainer: lightning.Trainer) -> None:
        """Let training end if it has waited long enough."""
        if self._patience and len(self._log.figures) - self.epoch >= self._patience:
            trainer.should_stop = True
