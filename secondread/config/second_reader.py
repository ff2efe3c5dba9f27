"""The physician who reads first, and the reading room that the second reader's figures are meant for."""

from __future__ import annotations

from dataclasses import dataclass, fields

from secondread.config.require import require


@dataclass(frozen=True)
class FirstReader:
    """A physician who tells diseased from normal studies.

    With one diseased study in five, the first two defaults give 4.4 errors in 100 readings, within the 3 to 5 that are
    estimated for daily work: Brady 2017, doi:10.1007/s13244-016-0534-1. Put in your own.
    """

    sensitivity: float = 0.90  # share of the diseased studies that are called diseased, in [0, 1]; an assumption
    specificity: float = 0.97  # share of the normal studies that are called normal, in [0, 1]; an assumption
    # How much of the errors falls on the studies that the model finds hard, in [0, 1]: 0 is independence, which
    # flatters; 1 is as far as possible on the same ones. Nobody knows it before both have read: half, and look at 1.
    shared: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            share = getattr(self, field.name)
            require(0 <= share <= 1, f"{field.name} must be a share from 0 to 1, not {share}.")


@dataclass(frozen=True)
class SecondReaderConfig:
    """Where the second reader stands."""

    # Share of diseased studies in the reading room, in [0, 1]; None: that of the images. Test sets often hold far more
    # disease than a reading room sees, and every figure for 1,000 studies hangs on it.
    prevalence: float | None = None
    # Names of the classes without disease; empty: those called `normal` or `...-normal`, as in the seed taxonomy.
    normal_classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        holds = self.prevalence is None or 0 <= self.prevalence <= 1
        require(holds, f"prevalence must be a share from 0 to 1 or null, not {self.prevalence}.")
