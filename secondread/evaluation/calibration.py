"""Whether a confidence of 0.8 is right eight times in ten: log loss, Brier score, reliability and its error.

Arguments as in `secondread.evaluation.metrics`: `probabilities` float (images, classes), `labels` int (images,).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secondread.evaluation.metrics import FloatArray, IntArray

BINS = 15  # as in Guo et al. 2017, so that figures compare with the literature
_LEAST = float(np.finfo(np.float32).eps)  # float32 softmax rounds small probabilities to 0, whose logarithm is infinite


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose confidence lies in (low, high].

    Attributes:
        low, high: edges of the bin, in [0, 1].
        count: images in it.
        confidence: their mean confidence (probability of the predicted class); NaN when empty.
        accuracy: share of them that are right; NaN when empty.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def nll(probabilities: FloatArray, labels: IntArray) -> float:
    """Negative log-likelihood: mean of -ln p(true class), in nats, from 0; p is at least float32's epsilon (1.2e-7)."""
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(true, _LEAST, 1)).mean())


def brier(probabilities: FloatArray, labels: IntArray) -> float:
    """Brier score over all classes: mean of sum_c (p_c - y_c)^2, in [0, 2]. Source: Brier 1950, eq. 2."""
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def reliability(probabilities: FloatArray, labels: IntArray, *, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Group images by confidence into bins of equal width, and compare confidence with accuracy in each."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for index in range(bins):
        inside = place == index
        count = int(inside.sum())
        means = (float(confidence[inside].mean()), float(right[inside].mean())) if count else (np.nan, np.nan)
        found.append(ReliabilityBin(index / bins, (index + 1) / bins, count, *means))
    return tuple(found)


def ece(bins: tuple[ReliabilityBin, ...]) -> float:
    """Expected calibration error: gap between confidence and accuracy, averaged over images; in [0, 1].

    Source: Naeini et al. 2015; Guo et al. 2017 (arXiv:1706.04599), eq. 3, with their 15 bins of equal width.
    """
    total = sum(item.count for item in bins)
    return sum(item.count * abs(item.accuracy - item.confidence) for item in bins if item.count) / total
