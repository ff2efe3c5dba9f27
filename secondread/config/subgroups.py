"""When a group of patients is large enough to be compared with the others, and how."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require

FACTORS = ("sex", "age_band", "view", "source", "modality")  # by which patients are grouped


@dataclass(frozen=True)
class SubgroupConfig:
    """How groups are compared. A group that is too small is listed, and said to be too small to tell."""

    # patients of the group, and of the rest; below it a share of 0.9 is known to no better than 11 points either way
    min_patients: int = 30
    min_class_images: int = 10  # of a class in the group and in the rest, before its sensitivity is compared
    min_class_patients: int = 10  # likewise; ten images of one patient are one case
    auroc_resamples: int = 200  # draws of AUROC, which is shown and not judged, and takes nearly all of the time

    def __post_init__(self) -> None:
        for name in ("min_patients", "min_class_images", "min_class_patients"):
            value = getattr(self, name)
            require(value >= 2, f"{name} must be at least 2, not {value}: one case says nothing of a group.")
        least = self.auroc_resamples >= 100
        require(least, f"auroc_resamples must be at least 100 for a 95 % interval, not {self.auroc_resamples}.")
