"""AdamW, its rate and the limit of its gradients, the same for training and for pre-training."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from secondread.training.sharded import whole

_LAST_RATE = 1e-3  # share of the peak at which the cosine ends; at 0 the last steps would be for nothing


def adamw(
    parameters: Iterable[tuple[str, Tensor]],
    *,
    learning_rate: float,
    weight_decay: float,
    steps: int,
    warmup_share: float,
) -> dict[str, Any]:
    """AdamW with decay on matrices only, and a rate that warms up and then falls along half a cosine.

    Args:
        parameters: by name. Matrices and kernels decay; gains, biases, [CLS] and positions do not.
        learning_rate: peak.
        weight_decay: share of a weight, times the rate, that each step takes off.
        steps: of the whole training.
        warmup_share: of the steps, in which the rate rises.
    Returns:
        What `LightningModule.configure_optimizers` gives back.
    """
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for name, parameter in parameters:
        (free if parameter.ndim < 2 or name == "positions" else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    optimizer = AdamW(groups, lr=learning_rate)
    schedule = _warmup_cosine(optimizer, steps, warmup_share)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def clip_gradient(optimizer: Optimizer, limit: float) -> float:
    """Cut the gradient of all weights to a norm; gives the norm that it had, the same on all processes.

    Whoever asks before the step finds out by it that the gradient is no number, while the weights still are.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return float(whole(clip_grad_norm_(parameters, limit)))


def _warmup_cosine(optimizer: Optimizer, steps: int, warmup_share: float) -> LambdaLR:
    """Linear rise over the first share of the steps, then half a cosine (Loshchilov & Hutter 2017)."""
    warmup = max(1, round(steps * warmup_share))

    def share_of_peak(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, share_of_peak)
