"""How a child version gets more to train on."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require, require_seed


@dataclass(frozen=True)
class AugmentConfig:
    """How a retrain set draws from the images that were set aside as live traffic."""

    label: str  # class whose groups move
    # share, in (0, 1], of the groups that hold the class; most stay, to be simulated traffic for the next model too
    fraction: float = 0.1
    seed: int = 0  # picks which groups

    def __post_init__(self) -> None:
        require(bool(self.label), "the label is empty: name the class whose images are to be moved.")
        require(0 < self.fraction <= 1, f"fraction must be in (0, 1], not {self.fraction}.")
        require_seed("seed", self.seed)
