"""Keeps the weights of the best epoch of a training."""

# ruff: noqa: ARG002 - Lightning passes these arguments by name

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from secondread.training.epochs import EpochLog

if TYPE_CHECKING:
    from secondread.training.module import Classifier


class KeepBest(Callback):
    """Keeps a copy of the weights of the epoch with the least loss on val.

    The loss and not the accuracy: on two hundred images the accuracy is the same for many epochs, and whichever came
    first would win.
    """

    def __init__(self, epoch_log: EpochLog) -> None:
        self.state: dict[str, Tensor] = {}
        self.epoch = 0
        self._log = epoch_log

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        """Copy if this epoch is better than all before."""
        losses = [figures.val_loss for figures in self._log.figures]
        if losses[-1] == min(losses):
            self.epoch = len(losses)
            weights: dict[str, Any] = pl_module.model.state_dict()
            self.state = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
