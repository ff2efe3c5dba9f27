"""An exponential moving average of the weights: what is judged on val, and kept, where the recipe asks for it."""

# ruff: noqa: ARG002 - Lightning passes these arguments by name

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

if TYPE_CHECKING:
    from secondread.training.module import Classifier

_WARMUP = 10  # steps: an average over a tenth of the steps so far, until that is longer than what the decay says


class WeightAverage(Callback):
    """Averages the weights after every step, and lends the network the average for validation.

    Running means and variances of batch normalisation are averaged alike. Early on the average is over fewer steps, so
    that it does not hold the random weights of the beginning: `min(decay, (1 + step) / (10 + step))`, as TensorFlow's
    ExponentialMovingAverage does it.

    Args:
        decay: share of the average kept at each step, in (0, 1).
    """

    def __init__(self, decay: float) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._decay = decay
        self._steps = 0

    def begin(self, module: Classifier, *, steps: int) -> None:
        """Start from the network's weights, that many steps after its beginning."""
        self.tensors = {name: tensor.detach().clone() for name, tensor in module.model.state_dict().items()}
        self._steps = steps

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: lightning.Trainer, pl_module: Classifier, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take this step's weights in."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (_WARMUP + self._steps))
        with torch.no_grad():
            for name, tensor in pl_module.model.state_dict().items():
                average = self.tensors[name]
                if average.is_floating_point():
                    average.lerp_(tensor, 1 - decay)
                else:
                    average.copy_(tensor)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        """Lend the network the average."""
        self._swap(pl_module)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        """Give it back its own."""
        self._swap(pl_module)

    def _swap(self, module: Classifier) -> None:
        with torch.no_grad():
            for name, tensor in module.model.state_dict().items():
                own = tensor.clone()
                tensor.copy_(self.tensors[name])
                self.tensors[name].copy_(own)
