"""From which confidence on a model may answer."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require


@dataclass(frozen=True)
class SelectiveConfig:
    """How often the model may be wrong where it answers, and how sure that must be."""

    # Share of the answered images that may be wrong, in (0, 1). As often as a physician errs in daily work; a smaller
    # one asks for more patients than most test sets have (1 % for at least 528).
    risk: float = 0.05
    bound_level: float = 0.95  # chance that the promise holds, over the images it is made from; the custom of the field

    def __post_init__(self) -> None:
        require(0 < self.risk < 1, f"risk must be a share between 0 and 1, not {self.risk}.")
        require(0.5 <= self.bound_level < 1, f"bound_level must be in [0.5, 1), not {self.bound_level}.")
