"""What the audit of a dataset looks for, and when it speaks up."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require, require_seed


@dataclass(frozen=True)
class AuditConfig:
    """What the audit looks at, and what it calls how bad."""

    sample_images: int = 4_000  # images that shortcuts are measured on, drawn at random; the interval is then 0.03 wide
    folds: int = 5  # of the cross-validation, by group
    min_groups_per_class: int = 10  # groups; a class with fewer is left out of the shortcuts: two a fold say nothing
    resamples: int = 500  # bootstrap draws of an interval
    level: float = 0.95  # share of the draws inside an interval
    # of the way from chance to certainty, that a trait surely goes (the interval's lower end): a quarter is more than a
    # fair set has by luck of who came when, and enough for a network to take it up instead of the finding
    serious_from: float = 0.25
    worth_a_look_from: float = 0.10  # likewise; below it, it is put down to illness: the sick are older than the well
    shown_images: int = 4  # pictures a class, with a shortcut seen in pixels
    fail_on: str = ""  # `serious` or `worth a look`: the gate refuses what is as bad, or worse; empty: nothing
    seed: int = 0  # of sample, folds, trees and draws

    def __post_init__(self) -> None:
        require_seed("seed", self.seed)
        require(self.folds >= 2, f"folds must be at least 2, not {self.folds}.")
        require(
            self.min_groups_per_class >= self.folds,
            f"min_groups_per_class must be at least folds ({self.folds}), not {self.min_groups_per_class}.",
        )
        require(self.sample_images >= 100, f"sample_images must be at least 100, not {self.sample_images}.")
        require(self.resamples >= 100, f"resamples must be at least 100 for a 95 % interval, not {self.resamples}.")
        require(0.5 <= self.level < 1, f"level must be in [0.5, 1), not {self.level}.")
        limits = ("", "worth a look", "serious")
        require(self.fail_on in limits, f"fail_on must be 'serious' or 'worth a look', not '{self.fail_on}'.")
        ordered = 0 <= self.worth_a_look_from <= self.serious_from <= 1
        require(ordered, "worth_a_look_from and serious_from must be from 0 to 1, the first not above the second.")
        require(self.shown_images >= 0, f"shown_images must not be negative, not {self.shown_images}.")
