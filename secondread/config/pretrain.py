"""How a network looks at images without labels before it is trained on those with labels."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require, require_seed
from secondread.config.train import AUTO


@dataclass(frozen=True)
class PretrainConfig:
    """Masked image modelling. Images are moved and lit as in training, and no more: what is to be drawn is the film.

    So there is no blur, noise, frame or covered rectangle, and none is mirrored.
    """

    preset: str = AUTO  # architecture, the one to be trained afterwards: weights fit no other
    image_presentations: int = 60_000  # images shown in all, repeats counted: about 4 minutes of two idle cores
    # batches and optimiser are those of training, for the same reasons
    batch_size: int = 64  # images a step
    learning_rate: float = 1e-3  # peak, of AdamW
    weight_decay: float = 0.05  # of AdamW, on matrices only
    warmup_share: float = 0.1  # share of the steps in which the rate rises to its peak; half a cosine follows
    gradient_clip: float = 1.0  # norm that a step's gradient is cut to
    masked_share: float = 0.6  # share of the tokens whose pixels are hidden (Xie et al. 2022: 0.6 at small grids)
    precision: str = AUTO  # `32-true`, `bf16-mixed`, or `auto`: bf16 where the processor computes with it
    threads: int = 0  # 0: the CPUs of the container, as more would wait for each other
    seed: int = 0  # of weights, order, augmentation and masks

    def __post_init__(self) -> None:
        for name in ("image_presentations", "batch_size", "learning_rate", "gradient_clip"):
            require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}.")
        for name in ("weight_decay", "threads"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, not {getattr(self, name)}.")
        require_seed("seed", self.seed)
        require(0 <= self.warmup_share <= 1, f"warmup_share must be from 0 to 1, not {self.warmup_share}.")
        require(0 < self.masked_share < 1, f"masked_share must be between 0 and 1, not {self.masked_share}.")
        precisions = (AUTO, "32-true", "bf16-mixed")
        require(
            self.precision in precisions, f"precision must be one of {', '.join(precisions)}, not '{self.precision}'."
        )
