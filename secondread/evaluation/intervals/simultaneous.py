"""Intervals of many gaps between groups of patients that all hold at once.

Of twenty gaps that are all chance, one lies outside its own 95 % interval. So an interval here is the mean of a gap's
draws plus or minus c of their standard deviations, c being the `level` quantile of the largest of all standardised
deviations in one draw: all intervals hold in `level` of the draws. Holm's procedure on p-values would do as much and
flag a little more; but p-values that small cannot be counted in a thousand draws, its answers agree with no interval,
and it takes nothing back for looks that say nearly the same (accuracy and sensitivity, men and women).

A group of 30 patients without a mistake would have an interval of no width. So each side of a gap has two made-up
patients more, one always read rightly and one always wrongly, who have as many images as its others have on average.

Sources: Romano & Wolf 2005, doi:10.1111/j.1468-0262.2005.00615.x (simultaneous intervals by bootstrap); Agresti & Caffo
2000, doi:10.1080/00031305.2000.10474560 (one success and one failure more on each side).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.config.evaluate import EvaluateConfig
from secondread.evaluation.intervals import bootstrap
from secondread.evaluation.intervals.bounds import Interval
from secondread.evaluation.metrics import ranking
from secondread.evaluation.metrics.arrays import FloatArray, IntArray

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """Some of the images, counted.

    Attributes:
        mask: bool (images,), which they are.
        patients: among them.
        images_by_class, patients_by_class: int64 (classes,).
    """

    mask: npt.NDArray[np.bool_]
    patients: int
    images_by_class: npt.NDArray[np.int64]
    patients_by_class: npt.NDArray[np.int64]

    @classmethod
    def of(cls, mask: npt.NDArray[np.bool_], labels: IntArray, patients: IntArray, *, classes: int) -> Side:
        """Count the images of a mask; `labels` and `patients` are (images,)."""
        by_class = [mask & (labels == index) for index in range(classes)]
        return cls(
            mask=mask,
            patients=len(np.unique(patients[mask])),
            images_by_class=np.array([each.sum() for each in by_class], dtype=np.int64),
            patients_by_class=np.array([len(np.unique(patients[each])) for each in by_class], dtype=np.int64),
        )


@dataclass(frozen=True)
class Look:
    """One gap: the share that is right on one side less that on another.

    Attributes:
        a, b: numbers of the sides.
        classes: the mean of whose sensitivities is compared; none compares accuracy as it is.
    """

    a: int
    b: int
    classes: tuple[int, ...]

    def turned(self) -> Look:
        """The same gap with the other sign."""
        return Look(self.b, self.a, self.classes)


@dataclass(frozen=True)
class Simultaneous:
    """What the draws say.

    Attributes:
        width: c, half the width of an interval in standard deviations; NaN where nothing was looked at.
        intervals: by look; all hold at once.
    """

    width: float
    intervals: Mapping[Look, Interval]

    def of(self, look: Look) -> Interval:
        """The interval of a look or of the one it mirrors; NaN bounds where neither was drawn."""
        if look in self.intervals:
            return self.intervals[look]
        mirrored = self.intervals.get(look.turned(), Interval(np.nan, np.nan))
        return Interval(-mirrored.high, -mirrored.low)


def simultaneous(
    looks: Sequence[Look],
    sides: Sequence[Side],
    right: npt.NDArray[np.bool_],
    labels: IntArray,
    patients: IntArray,
    config: EvaluateConfig,
) -> Simultaneous:
    """Draw patients, once for all looks.

    Args:
        looks: each once; its sides have patients of each of its classes.
        sides: that looks name.
        right: bool (images,), whether an image's answer is its label.
        labels: int (images,).
        patients: int (images,), from 0 without gaps.
        config: draws and level.
    """
    if not looks:
        return Simultaneous(np.nan, {})
    images = len(labels)
    made_up = patients.max() + 1 + np.arange(2 * len(sides))
    everybody = np.concatenate([patients, made_up])
    drawn = []
    for part in bootstrap.draws(everybody, resamples=config.resamples, seed=config.seed):
        weights = part.astype(np.float64)
        hits, totals = _counts(weights[:, :images], sides, right, labels)
        extra = weights[:, images:].T.reshape(len(sides), 2, -1)  # (sides, right or wrong, draws)
        drawn.append(np.stack([_gap(look, sides, hits, totals, extra) for look in looks], axis=1))
    gaps = np.concatenate(drawn)  # (draws, looks)
    middle, deviation = np.nanmean(gaps, axis=0), np.nanstd(gaps, axis=0, ddof=1)
    farthest = np.nanmax(np.abs(gaps - middle) / deviation, axis=1)
    of_one = NormalDist().inv_cdf((1 + config.level) / 2)
    width = max(of_one, float(np.quantile(farthest, config.level)))
    # no two shares are farther apart than all from nothing
    ends = (np.clip(middle + sign * width * deviation, -1, 1) for sign in (-1, 1))
    bounds = zip(looks, *ends, strict=True)
    return Simultaneous(width, {look: Interval(float(low), float(high)) for look, low, high in bounds})


def drawn_areas(
    sides: Mapping[int, Side], probabilities: FloatArray, labels: IntArray, patients: IntArray, config: EvaluateConfig
) -> dict[int, Floats]:
    """AUROC of each class against the rest within some sides, in the same draws for all: each float64 (draws, classes).

    Args:
        sides: by number.
        probabilities: float (images, classes).
        labels: int (images,).
        patients: int (images,).
        config: draws.
    """
    found: dict[int, list[Floats]] = {place: [] for place in sides}
    for weights in bootstrap.draws(patients, resamples=config.resamples, seed=config.seed) if sides else ():
        for place, side in sides.items():
            inside, scores, truth = weights[:, side.mask], probabilities[side.mask], labels[side.mask]
            areas = [
                ranking.auroc(ranking.rank(truth == index, scores[:, index], inside))
                for index in range(scores.shape[1])
            ]
            found[place].append(np.stack(areas, axis=1))
    return {place: np.concatenate(parts) for place, parts in found.items()}


def _counts(
    weights: Floats, sides: Sequence[Side], right: npt.NDArray[np.bool_], labels: IntArray
) -> tuple[Floats, Floats]:
    """Right images and all images of each side and class, in each draw: float64 (sides, classes, draws)."""
    members = np.stack([side.mask for side in sides], axis=1)[:, :, None]
    classes = len(sides[0].images_by_class)
    cells = (members & (labels[:, None] == np.arange(classes))[:, None, :]).reshape(len(labels), -1)

    def count(chosen: npt.NDArray[np.bool_]) -> Floats:
        product: npt.NDArray[Any] = weights @ chosen.astype(np.float64)
        return np.asarray(product.T.reshape(len(sides), classes, -1), dtype=np.float64)

    return count(cells & right[:, None]), count(cells)


def _gap(look: Look, sides: Sequence[Side], hits: Floats, totals: Floats, extra: Floats) -> Floats:
    """One look in each draw, float64 (draws,)."""
    values = []
    for place in (look.a, look.b):
        side, more = sides[place], extra[place]
        if not look.classes:
            size = side.images_by_class.sum() / side.patients
            values.append(_share(hits[place].sum(axis=0), totals[place].sum(axis=0), size * more))
            continue
        # a made-up patient's images are spread over the classes that are looked at
        sizes = side.images_by_class / np.maximum(side.patients_by_class, 1) / len(look.classes)
        recalls = [_share(hits[place, index], totals[place, index], sizes[index] * more) for index in look.classes]
        values.append(np.mean(recalls, axis=0))
    return np.asarray(values[0] - values[1], dtype=np.float64)


def _share(hits: Floats, totals: Floats, extra: Floats) -> Floats:
    """Share that is right in each draw, made-up patients counted in; NaN where a draw has nobody."""
    whole = totals + extra.sum(axis=0)
    shares: Floats = np.divide(hits + extra[0], whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares
