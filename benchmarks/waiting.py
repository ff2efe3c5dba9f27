"""How long the steps of a training wait: for the next batch, and for whatever else is done between two steps."""

# ruff: noqa: ARG002 - Lightning passes these arguments by name

from __future__ import annotations

import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback


class Waiting(Callback):
    """Adds up, over all epochs but the first, the time within steps and the time between them.

    Between two steps the next batch is read and handed to the device, and other callbacks run: what is counted is a
    little more than waiting for data.
    """

    def __init__(self) -> None:
        self.waited = 0.0
        self.stepped = 0.0
        self._last = 0.0

    @property
    def share(self) -> float:
        """Of the time of all steps, waiting included, from 0 to 1."""
        return self.waited / (self.waited + self.stepped)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The first batch is waited for from here on."""
        self._last = time.perf_counter()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """It is there."""
        now = time.perf_counter()
        if trainer.current_epoch:
            self.waited += now - self._last
        self._last = now

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Forward, backward and the optimiser are done; from here on the next one is waited for."""
        now = time.perf_counter()
        if trainer.current_epoch:
            self.stepped += now - self._last
        self._last = now
