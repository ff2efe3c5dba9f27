"""By how much a challenger may be worse than the champion."""

from __future__ import annotations

from dataclasses import dataclass, fields

from secondread.config.require import require


@dataclass(frozen=True)
class PairedConfig:
    """By how much a challenger may be worse than the champion on the same images.

    The lower bound of the difference's interval decides, so that few images are no success. Margins near 0 ask for
    proof of a gain, which some hundred images cannot give: where one model alone is right on one in ten of 400 images,
    the interval of the accuracies' difference is 3 points wide to either side.
    """

    accuracy_margin_points: float = 3.0  # percentage points
    auroc_margin_points: float = 3.0  # percentage points of the macro AUROC

    def __post_init__(self) -> None:
        for field in fields(self):
            margin = getattr(self, field.name)
            require(0 <= margin <= 100, f"{field.name} must be from 0 to 100 percentage points, not {margin}.")
