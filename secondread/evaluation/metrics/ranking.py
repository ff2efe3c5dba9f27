"""How well a score puts the images with a class above those without: AUROC, average precision, operating points.

Images of one score are one step of the threshold: all of them count as positive or none, so the order in which they
happen to stand changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondread.evaluation.metrics.arrays import BoolArray, Draws, FloatArray, IntArray, ratio

_ROUNDING = 1e-9  # 0.1 * 3 images is above 0.3 of them by rounding alone


@dataclass(frozen=True)
class Ranking:
    """What each threshold lets through, in each draw. The first threshold lets nothing through, the last everything.

    Attributes:
        found: float64 (draws, 1 + distinct scores), positives with a score from the threshold on.
        alarms: likewise, negatives.
    """

    found: Draws
    alarms: Draws

    @property
    def positives(self) -> Draws:
        """Positives in all, (draws,)."""
        return np.asarray(self.found[:, -1])

    @property
    def negatives(self) -> Draws:
        """Negatives in all, (draws,)."""
        return np.asarray(self.alarms[:, -1])


def rank(positive: BoolArray, scores: FloatArray, weights: npt.NDArray[np.number]) -> Ranking:
    """Count what each threshold lets through.

    Args:
        positive: bool (images,).
        scores: float (images,); high where positive.
        weights: (draws, images).
    """
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    ends = np.flatnonzero(np.r_[falling[1:] != falling[:-1], True])  # last image of each distinct score
    ordered = weights[:, order]
    found = np.cumsum(ordered * positive[order], axis=1)
    everything = np.cumsum(ordered, axis=1)
    if len(ends) < len(scores):
        found, everything = found[:, ends], everything[:, ends]
    return Ranking(_from_none(found), _from_none(everything - found))


def auroc(ranking: Ranking) -> Draws:
    """Area under the ROC curve: share of pairs of a positive and a negative in the right order, ties counted half.

    Returns:
        float64 (draws,) in [0, 1]; NaN where a draw has no positive or no negative.
    Source: Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747.
    """
    found, alarms = ranking.found, ranking.alarms
    pairs = ((found[:, 1:] + found[:, :-1]) * np.diff(alarms, axis=1)).sum(axis=1) / 2
    return ratio(pairs, ranking.positives * ranking.negatives)


def auroc_by_class(probabilities: FloatArray, labels: IntArray, weights: npt.NDArray[np.number]) -> Draws:
    """AUROC of each class against the rest, float64 (draws, classes); arguments as in `metrics.by_name.measure`."""
    classes = range(probabilities.shape[1])
    return np.stack([auroc(rank(labels == index, probabilities[:, index], weights)) for index in classes], axis=1)


def average_precision(ranking: Ranking) -> Draws:
    """Precision at each threshold, averaged over the positives that it adds: the area under the steps of the PR curve.

    Returns:
        float64 (draws,) in [0, 1]; NaN where a draw has no positive or no negative.
    Source: Manning et al. 2008, "Introduction to Information Retrieval", section 8.4.
    """
    found, called = ranking.found[:, 1:], ranking.found[:, 1:] + ranking.alarms[:, 1:]
    added = np.diff(ranking.found, axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    return np.where(ranking.negatives > 0, ratio((added * precision).sum(axis=1), ranking.positives), np.nan)


def sensitivity_at_specificity(ranking: Ranking, specificity: float) -> Draws:
    """The greatest sensitivity of all thresholds whose specificity is at least so high.

    Args:
        ranking: of one class against the rest.
        specificity: in [0, 1].
    Returns:
        float64 (draws,) in [0, 1]; NaN where a draw has no positive or no negative.
    """
    allowed = (1 - specificity) * ranking.negatives + _ROUNDING
    last = (ranking.alarms <= allowed[:, None]).sum(axis=1) - 1
    reached = ratio(_pick(ranking.found, last), ranking.positives)
    return np.where(ranking.negatives > 0, reached, np.nan)


def specificity_at_sensitivity(ranking: Ranking, sensitivity: float) -> Draws:
    """The greatest specificity of all thresholds whose sensitivity is at least so high.

    Args:
        ranking: of one class against the rest.
        sensitivity: in [0, 1].
    Returns:
        float64 (draws,) in [0, 1]; NaN where a draw has no positive or no negative.
    """
    asked = sensitivity * ranking.positives - _ROUNDING
    first = (ranking.found < asked[:, None]).sum(axis=1)
    kept = ratio(ranking.negatives - _pick(ranking.alarms, first), ranking.negatives)
    return np.where(ranking.positives > 0, kept, np.nan)


def _from_none(counts: npt.NDArray[np.number]) -> Draws:
    """Put the threshold that lets nothing through before the others."""
    padded = np.zeros((len(counts), counts.shape[1] + 1))
    padded[:, 1:] = counts
    return padded


def _pick(values: Draws, columns: npt.NDArray[np.intp]) -> Draws:
    """The value of one column in each row."""
    return np.asarray(np.take_along_axis(values, columns[:, None], axis=1)[:, 0])
