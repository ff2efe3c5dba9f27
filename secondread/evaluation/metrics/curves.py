"""ROC and precision-recall curves, thinned to what a page can show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve, roc_curve

from secondread.evaluation.metrics.arrays import BoolArray, FloatArray, IntArray

_POINTS = 200  # per curve: finer than any screen shows, and the JSON stays small for 100,000 images


@dataclass(frozen=True)
class RocCurve:
    """Receiver operating characteristic of one class against the rest.

    Attributes:
        fpr: false positive rate at each threshold, rising from 0 to 1.
        tpr: true positive rate (sensitivity) at each threshold, rising from 0 to 1.
        thresholds: probability from which an image counts as positive, falling; the first is infinite (none counts).
    """

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    thresholds: tuple[float, ...]


@dataclass(frozen=True)
class PrCurve:
    """Precision against recall of one class against the rest. Between two points the precision is that of the second.

    Attributes:
        recall: sensitivity at each threshold, rising from 0 to 1.
        precision: positive predictive value at each threshold, at the mix of classes of these images; the first, of no
            image at all, is 1 by convention.
        thresholds: probability from which an image counts as positive, falling; the first is infinite (none counts).
        prevalence: share of the images that have the class, which is the precision of a guess.
    """

    recall: tuple[float, ...]
    precision: tuple[float, ...]
    thresholds: tuple[float, ...]
    prevalence: float


def roc_by_class(probabilities: FloatArray, labels: IntArray) -> tuple[RocCurve | None, ...]:
    """ROC curve of each class against the rest; None where no image or every image has the class."""
    return tuple(
        _roc(positive, scores) if _defined(positive) else None for positive, scores in _each(probabilities, labels)
    )


def roc_micro(probabilities: FloatArray, labels: IntArray) -> RocCurve:
    """One ROC curve for all classes together: every pair of an image and a class is one yes-or-no question."""
    positive = labels[:, None] == np.arange(probabilities.shape[1])
    return _roc(positive.ravel(), probabilities.ravel())


def pr_by_class(probabilities: FloatArray, labels: IntArray) -> tuple[PrCurve | None, ...]:
    """Precision-recall curve of each class against the rest; None where no image or every image has the class."""
    return tuple(
        _pr(positive, scores) if _defined(positive) else None for positive, scores in _each(probabilities, labels)
    )


def _each(probabilities: FloatArray, labels: IntArray) -> list[tuple[BoolArray, FloatArray]]:
    return [(labels == index, probabilities[:, index]) for index in range(probabilities.shape[1])]


def _defined(positive: BoolArray) -> bool:
    return 0 < int(positive.sum()) < len(positive)


def _roc(positive: BoolArray, scores: FloatArray) -> RocCurve:
    kept = _thin(*roc_curve(positive, scores))
    return RocCurve(kept[0], kept[1], kept[2])


def _pr(positive: BoolArray, scores: FloatArray) -> PrCurve:
    # scikit-learn's ends with the point of no image, which has no threshold; and it has one for each distinct score
    precision, recall, thresholds = precision_recall_curve(positive, scores, drop_intermediate=True)
    kept = _thin(recall[::-1], precision[::-1], np.r_[np.inf, thresholds[::-1]])
    return PrCurve(kept[0], kept[1], kept[2], prevalence=float(positive.mean()))


def _thin(*axes: npt.NDArray[Any]) -> tuple[tuple[float, ...], ...]:
    """Every so many points, with the first and the last."""
    points = len(axes[0])
    keep = np.unique(np.linspace(0, points - 1, min(points, _POINTS)).round().astype(int))
    return tuple(tuple(map(float, axis[keep])) for axis in axes)
