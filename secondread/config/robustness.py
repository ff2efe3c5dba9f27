"""How much is run to learn what breaks a model."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require, require_seed


@dataclass(frozen=True)
class RobustnessConfig:
    """How a model is tried on corrupted images."""

    images_at_most: int = 200  # drawn by class; ten corruptions in five strengths make 10,000 of it, a minute's work
    batch_size: int = 32  # images a run of the graph; larger gains nothing on a CPU
    # of equal mass; below ten images a bin, its accuracy is noise that counts as miscalibration
    ece_bins: int = 10
    resamples: int = 500  # bootstrap draws
    level: float = 0.95  # share of the draws inside an interval
    seed: int = 0  # of sample, corruptions and draws

    def __post_init__(self) -> None:
        require_seed("seed", self.seed)
        for name in ("images_at_most", "batch_size", "ece_bins"):
            require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}.")
        require(self.resamples >= 100, f"resamples must be at least 100 for a 95 % interval, not {self.resamples}.")
        require(0.5 <= self.level < 1, f"level must be in [0.5, 1), not {self.level}.")
