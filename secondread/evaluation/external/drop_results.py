"""How much worse, or better, a model is on one set than on its own test: the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from secondread.evaluation.intervals.estimate import Estimate


@dataclass(frozen=True)
class Difference:
    """One figure on both sets, each over the same classes.

    Attributes:
        external: on the set that is judged.
        internal: on the test that it is held against.
        drop: external minus internal; below 0 is worse, but above 0 where lower is better.
    """

    external: Estimate
    internal: Estimate
    drop: Estimate


@dataclass(frozen=True)
class Drop:
    """An evaluation against that of the same model on its own test.

    Attributes:
        against, split: which images the other evaluation is of.
        classes: that both sets have, over which every figure of both is taken; none: nothing can be compared.
        n: images of these classes in the set that is judged.
        against_n: likewise in the other.
        taken_again: of `external` and `internal`, those whose figures had to be taken again, over fewer classes.
        widened: by how much intervals of `internal` that had to be taken again were made wider than by images alone; by
            figure, at least 1, and NaN where that is not known.
        shared_images: that are in both sets. They should be none: the sets are taken to be independent.
        figures: by name of `metrics.by_name.OVERALL`.
    """

    against: str
    split: str
    classes: tuple[str, ...]
    n: int
    against_n: int
    taken_again: tuple[str, ...]
    widened: Mapping[str, float]
    shared_images: int
    figures: Mapping[str, Difference]
