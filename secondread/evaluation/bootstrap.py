"""95 % intervals by resampling patients.

Images of one patient are alike, so an interval that resamples images is too narrow. Here whole groups (patients) are
drawn with replacement, and a figure is recomputed on each draw; the interval runs between two percentiles of those.
Source: Efron & Tibshirani 1993, chapter 13 (percentile interval); Field & Welsh 2007 (resampling clusters).

A draw is held as weights, how often each image was drawn, so that all draws are computed at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.errors import InputError
from secondread.evaluation.metrics import FloatArray, IntArray, ratio

_WEIGHTS_AT_ONCE = 2_000_000  # (resamples x images) held at a time: 16 MB, and some such arrays


@dataclass(frozen=True)
class Interval:
    """Bounds between which a figure lies in `level` of the resamples; NaN where that cannot be known."""

    low: float
    high: float


def group_weights(groups: npt.NDArray[Any], *, resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw groups with replacement, as many as there are.

    Args:
        groups: (images,), which group each image belongs to.
        resamples: number of draws.
        seed: of numpy's PCG64; the same seed gives the same draws.
    Returns:
        int64 (resamples, images): how often each image is in each draw.
    """
    return np.concatenate(list(draws(groups, resamples=resamples, seed=seed)))


def draws(groups: npt.NDArray[Any], *, resamples: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """What `group_weights` gives, in parts that fit into memory, int64 (draws, images); the same whatever they are."""
    at_once = max(1, _WEIGHTS_AT_ONCE // len(groups))
    names, place = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    even = np.full(len(names), 1 / len(names))
    for start in range(0, resamples, at_once):
        counts = rng.multinomial(len(names), even, size=min(at_once, resamples - start))
        yield np.asarray(counts[:, place], dtype=np.int64)


def weighted_accuracy(right: npt.NDArray[np.bool_], weights: npt.NDArray[np.number]) -> npt.NDArray[np.float64]:
    """Accuracy of each draw, float64 (resamples,). `right` is (images,), `weights` (resamples, images)."""
    return np.asarray((weights @ right.astype(np.float64)) / weights.sum(axis=1), dtype=np.float64)


def weighted_auroc(
    positive: npt.NDArray[np.bool_], scores: FloatArray, weights: npt.NDArray[np.number]
) -> npt.NDArray[np.float64]:
    """AUROC of each draw: the weighted share of pairs (positive, negative) in the right order, ties counted half.

    Args:
        positive: bool (images,).
        scores: float (images,).
        weights: (resamples, images).
    Returns:
        float64 (resamples,); NaN where a draw has no positive or no negative image.
    """
    order = np.argsort(scores, kind="stable")
    sorted_scores = scores[order]
    starts = np.flatnonzero(np.r_[True, sorted_scores[1:] != sorted_scores[:-1]])  # first image of each distinct score
    sorted_weights = weights[:, order].astype(np.float64)
    is_positive = positive[order].astype(np.float64)
    positives = _sum_runs(sorted_weights * is_positive, starts)
    negatives = _sum_runs(sorted_weights * (1 - is_positive), starts)
    below = np.cumsum(negatives, axis=1) - 0.5 * negatives
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    ordered = (positives * below).sum(axis=1)
    return ratio(ordered, pairs)


def intervals(
    probabilities: FloatArray,
    labels: IntArray,
    groups: npt.NDArray[Any],
    *,
    resamples: int = 1_000,
    level: float = 0.95,
    seed: int = 0,
) -> Mapping[str, Interval]:
    """Intervals of accuracy and macro AUROC.

    The macro AUROC of a draw is the mean over the classes that the draw has; a class that is missing from all images
    is in none.

    Args:
        probabilities: float (images, classes).
        labels: int (images,).
        groups: (images,), the patient of each image, or the image itself where patients are not known.
        resamples: number of draws; 1,000 gives bounds that move by about 0.001 from seed to seed.
        level: share of draws inside.
        seed: of the draws.
    Returns:
        `accuracy` and `auroc_macro`; NaN bounds when there are fewer than two groups.
    Raises:
        InputError: the arrays differ in length.
    """
    if not len(probabilities) == len(labels) == len(groups):
        raise InputError(
            f"{len(probabilities)} predictions, {len(labels)} labels and {len(groups)} groups: lengths differ."
        )
    if len(np.unique(groups)) < 2:
        nothing = Interval(np.nan, np.nan)
        return {"accuracy": nothing, "auroc_macro": nothing}
    right = probabilities.argmax(axis=1) == labels
    accuracy, auroc = [], []
    for part in draws(groups, resamples=resamples, seed=seed):
        accuracy.append(weighted_accuracy(right, part))
        auroc.append(macro_auroc(probabilities, labels, part))
    return {
        "accuracy": percentile(np.concatenate(accuracy), level),
        "auroc_macro": percentile(np.concatenate(auroc), level),
    }


def macro_auroc(
    probabilities: FloatArray, labels: IntArray, weights: npt.NDArray[np.number]
) -> npt.NDArray[np.float64]:
    """Mean over the classes of each draw, float64 (resamples,); NaN where none is defined."""
    areas = np.stack(
        [weighted_auroc(labels == index, probabilities[:, index], weights) for index in range(probabilities.shape[1])]
    )
    defined = ~np.isnan(areas)
    total, count = np.where(defined, areas, 0).sum(axis=0), defined.sum(axis=0)
    return ratio(total, count)


def percentile(values: npt.NDArray[np.float64], level: float) -> Interval:
    """Bounds of the middle `level` of some draws, float64 (resamples,); those that are NaN are left out."""
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(np.nan, np.nan)
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high))


def _sum_runs(values: npt.NDArray[np.float64], starts: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Sum the columns between one start and the next."""
    if len(starts) == values.shape[1]:
        return values  # no ties, the usual case: nothing to add up
    return np.asarray(np.add.reduceat(values, starts, axis=1), dtype=np.float64)
