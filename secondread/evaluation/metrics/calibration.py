"""Whether a confidence of 0.8 is right eight times in ten: log loss, Brier score, reliability and its error.

Arguments as in `secondread.evaluation.metrics.arrays`. Confidence is the probability of the predicted class.

Bins hold the same number of images, not the same width of confidence: most images of a good model are near 1, and bins
of equal width would put them into one bin and a handful into each of the others. An image on the border of two bins is
shared between them, and images of the same confidence are shared alike, so that order and copies change nothing.
Source: Nixon et al. 2019, "Measuring Calibration in Deep Learning" (arXiv:1904.01685), section 3 (adaptive bins).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondread.errors import InputError
from secondread.evaluation.metrics.arrays import BoolArray, Draws, FloatArray, IntArray, once

BINS = 15  # as in Guo et al. 2017, so that figures compare with the literature
_LEAST = float(np.finfo(np.float32).eps)  # float32 softmax rounds small probabilities to 0, whose logarithm is infinite
_SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class ReliabilityBin:
    """A part of the images, by confidence.

    Attributes:
        low, high: least and greatest confidence in it, in [0, 1].
        count: images in it; a share of an image on the border counts.
        confidence: their mean confidence.
        accuracy: share of them that are right.
        likely_low, likely_high: where the accuracy of a perfectly calibrated model would lie; NaN where not computed.
            Source: Broecker & Smith 2007, doi:10.1175/WAF993.1 (consistency bars).
    """

    low: float
    high: float
    count: float
    confidence: float
    accuracy: float
    likely_low: float = float("nan")
    likely_high: float = float("nan")


def nll_of_images(probabilities: FloatArray, labels: IntArray) -> Draws:
    """-ln p(true class) of each image, in nats, float64 (images,); p is at least float32's epsilon (1.2e-7)."""
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.clip(true, _LEAST, 1)))


def nll(probabilities: FloatArray, labels: IntArray) -> float:
    """Negative log-likelihood: the mean of `nll_of_images`, from 0."""
    return float(nll_of_images(probabilities, labels).mean())


def brier_of_images(probabilities: FloatArray, labels: IntArray) -> Draws:
    """Sum over all classes of (p_c - y_c)^2 of each image, float64 (images,) in [0, 2]. Source: Brier 1950, eq. 2."""
    truth = np.eye(probabilities.shape[1])[labels]
    return np.asarray(((probabilities - truth) ** 2).sum(axis=1))


def brier(probabilities: FloatArray, labels: IntArray) -> float:
    """Brier score: the mean of `brier_of_images`, in [0, 2]."""
    return float(brier_of_images(probabilities, labels).mean())


def gaps(
    probabilities: FloatArray, labels: IntArray, weights: npt.NDArray[np.number], *, bins: int = BINS
) -> npt.NDArray[np.float64]:
    """Accuracy minus confidence in each bin of each draw.

    Returns:
        float64 (draws, bins) in [-1, 1]; below 0 where the model is too sure.
    """
    right = probabilities.argmax(axis=1) == labels
    return gaps_of(confidence_of(probabilities), right, weights, bins=bins)


def gaps_of(
    confidence: FloatArray, right: BoolArray, weights: npt.NDArray[np.number], *, bins: int = BINS
) -> npt.NDArray[np.float64]:
    """What `gaps` gives, of answers that are right or wrong.

    Args:
        confidence: float (images,).
        right: bool (images,), or (draws, images) where it differs from draw to draw.
        weights: (draws, images), or (1, images) for all draws.
        bins: number of them.
    """
    excess = (right.astype(np.float64) - confidence) * weights
    at, sums = _at_borders(confidence, np.atleast_2d(excess), weights, bins)
    return np.asarray(np.diff(sums, axis=1) / np.diff(at, axis=1))


def ece_of_gaps(found: npt.NDArray[np.float64]) -> Draws:
    """Expected calibration error of each draw, float64 (draws,) in [0, 1]: mean size of its bins' gaps."""
    return np.asarray(np.abs(found).mean(axis=1))


def ece(probabilities: FloatArray, labels: IntArray, *, bins: int = BINS) -> float:
    """Expected calibration error: gap between confidence and accuracy, averaged over images; in [0, 1].

    Of few images it is well above 0 whatever the model: see `secondread.evaluation.intervals.ece`.
    Source: Naeini et al. 2015; Guo et al. 2017 (arXiv:1706.04599), eq. 3, here with bins of as many images each.
    """
    return float(ece_of_gaps(gaps(probabilities, labels, once(len(labels)), bins=bins))[0])


def reliability(
    probabilities: FloatArray,
    labels: IntArray,
    *,
    bins: int = BINS,
    likely: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None,
) -> tuple[ReliabilityBin, ...]:
    """Group images by confidence into bins of as many images, and compare confidence with accuracy in each.

    Args:
        probabilities: float (images, classes).
        labels: int (images,).
        bins: number of them.
        likely: least and greatest gap that a calibrated model would show in each bin, float (bins,) each.
    """
    confidence = confidence_of(probabilities)
    weights = once(len(labels))
    at, sums = _at_borders(confidence, confidence[None, :], weights, bins)
    size = len(labels) / bins
    means = np.diff(sums[0]) / size
    accuracies = np.clip(means + gaps(probabilities, labels, weights, bins=bins)[0], 0, 1)
    rising = np.sort(confidence)
    first = np.clip(np.floor(at[0, :-1] + 1e-9).astype(int), 0, len(rising) - 1)
    last = np.clip(np.ceil(at[0, 1:] - 1e-9).astype(int) - 1, 0, len(rising) - 1)
    bounds = likely if likely is not None else (np.full(bins, np.nan), np.full(bins, np.nan))
    return tuple(
        ReliabilityBin(
            low=float(rising[first[index]]),
            high=float(rising[last[index]]),
            count=size,
            confidence=float(means[index]),
            accuracy=float(accuracies[index]),
            likely_low=float(np.clip(means[index] + bounds[0][index], 0, 1)),
            likely_high=float(np.clip(means[index] + bounds[1][index], 0, 1)),
        )
        for index in range(bins)
    )


def without_scaling(
    probabilities: FloatArray, *, temperature: float, margin_power: float = 1.0
) -> npt.NDArray[np.float64]:
    """What the network said before the margins of its logits were scaled: softmax(-T m ** (1 / a)), m = ln(p_top / p).

    Args:
        probabilities: float (images, classes), softmax(-((z_top - z) / T) ** a); what was rounded to 0 is taken for
            1.2e-38.
        temperature: T, above 0.
        margin_power: a, above 0.
    Returns:
        float64 (images, classes), rows sum to 1: softmax(z).
    Raises:
        InputError: one of the two is not above 0.
    """
    for name, value in (("temperature", temperature), ("margin power", margin_power)):
        if not value > 0:
            raise InputError(f"the {name} is {value}; it must be above 0.")
    logarithms = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))
    margins = logarithms.max(axis=1, keepdims=True) - logarithms
    odds = np.exp(-temperature * margins ** (1 / margin_power))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def confidence_of(probabilities: FloatArray) -> npt.NDArray[np.float64]:
    """Probability of the predicted class, float64 (images,)."""
    return np.asarray(probabilities.max(axis=1), dtype=np.float64)


def _at_borders(
    confidence: FloatArray, values: npt.NDArray[np.number], weights: npt.NDArray[np.number], bins: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sum values over the least confident images up to each border between two bins.

    Args:
        confidence: float (images,).
        values: (draws, images), already times their weights.
        weights: (draws, images), or (1, images) for all draws.
        bins: number of them, of the same weight.
    Returns:
        Weight and sum of values up to each border, both float64 (draws, bins + 1).
    """
    order = np.argsort(confidence, kind="stable")
    rising = confidence[order]
    ends = np.r_[0, 1 + np.flatnonzero(np.r_[rising[1:] != rising[:-1], True])]  # images up to each distinct confidence
    weight, sums = _running(weights[:, order])[:, ends], _running(values[:, order])[:, ends]
    borders = weight[:, -1:] * np.arange(bins + 1) / bins
    if len(weight) == 1 < len(sums):
        weight, borders = (np.broadcast_to(array, (len(sums), array.shape[1])) for array in (weight, borders))
    # between two distinct confidences the sum rises evenly: whoever stands on a border is shared
    at = [np.interp(*row) for row in zip(borders, weight, sums, strict=True)]
    return np.asarray(borders, dtype=np.float64), np.stack(at)


def _running(values: npt.NDArray[np.number]) -> npt.NDArray[np.float64]:
    """Sums up to each column, with a first column of 0."""
    sums = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums
