"""How good a classifier's probabilities are: accuracy, ranking (AUROC), and precision, recall and F1 of each class.

Everything takes `probabilities`, float (images, classes) with rows that sum to 1, and `labels`, int (images,), class
indices. Logits are refused: their figures would be wrong without a sign of it. A figure that the images cannot give
(the recall of a class that has none) is NaN here and null in JSON, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from secondread.errors import InputError

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]

_SUM_TOLERANCE = 1e-3  # a float32 softmax over tens of classes is within 1e-5; int8 graphs end in a float softmax too
_ROC_POINTS = 200  # per curve: finer than any screen shows, and the JSON stays small for 100,000 images


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
class ClassMetrics:
    """One class against the rest; NaN where the images cannot tell.

    Attributes:
        support: images that have this class.
        predicted: images that were called this class.
        precision: share of the predicted that have it (positive predictive value at this mix of classes).
        recall: share of those that have it that were found (sensitivity).
        f1: harmonic mean of the two.
        auroc: chance that an image with the class scores above one without it, ties counted half.
    """

    support: int
    predicted: int
    precision: float
    recall: float
    f1: float
    auroc: float


def check(probabilities: FloatArray, labels: IntArray) -> None:
    """Refuse what is not (images, classes) probabilities with one class index an image.

    Raises:
        InputError: no image, shapes that do not fit, a value outside [0, 1], a row that does not sum to 1 (logits), or
            a label that has no column.
    """
    if probabilities.ndim != 2 or labels.ndim != 1 or len(probabilities) != len(labels):
        raise InputError(
            f"probabilities {probabilities.shape} and labels {labels.shape} do not fit: "
            "give (images, classes) and (images,)."
        )
    images, classes = probabilities.shape
    if images == 0 or classes < 2:
        raise InputError(f"{images} images and {classes} classes cannot be evaluated: at least 1 image and 2 classes.")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels are {labels.dtype}: give class indices as integers.")
    inside = np.isfinite(probabilities).all() and probabilities.min() >= 0 and probabilities.max() <= 1 + _SUM_TOLERANCE
    if not inside or not np.allclose(probabilities.sum(axis=1), 1, atol=_SUM_TOLERANCE):
        raise InputError(
            "these are no probabilities (each row in [0, 1] and summing to 1): apply softmax to logits first."
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"labels run from {labels.min()} to {labels.max()}, but there are {classes} classes.")


def confusion(probabilities: FloatArray, labels: IntArray) -> npt.NDArray[np.int64]:
    """Count images by true class (row) and most probable class (column).

    Returns:
        int64 (classes, classes).
    """
    predicted = probabilities.argmax(axis=1)
    matrix = confusion_matrix(labels, predicted, labels=np.arange(probabilities.shape[1]))
    return np.asarray(matrix, dtype=np.int64)


def auroc_by_class(probabilities: FloatArray, labels: IntArray) -> npt.NDArray[np.float64]:
    """Area under the ROC curve of each class against the rest.

    Returns:
        float64 (classes,) in [0, 1]; NaN where no image or every image has the class.
    Source: Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747 (ties count half).
    """
    areas = np.full(probabilities.shape[1], np.nan)
    for index in range(probabilities.shape[1]):
        positive = labels == index
        if 0 < positive.sum() < len(labels):
            areas[index] = roc_auc_score(positive, probabilities[:, index])
    return areas


def mean_of_defined(values: FloatArray) -> float:
    """Mean over the classes for which a figure exists; NaN where there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def per_class(probabilities: FloatArray, labels: IntArray) -> tuple[ClassMetrics, ...]:
    """Precision, recall, F1 and AUROC of every class, in the order of the columns."""
    matrix = confusion(probabilities, labels)
    hits, support, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    precision, recall, f1 = ratio(hits, predicted), ratio(hits, support), _f1(hits, support, predicted)
    areas = auroc_by_class(probabilities, labels)
    return tuple(
        ClassMetrics(
            support=int(support[index]),
            predicted=int(predicted[index]),
            precision=float(precision[index]),
            recall=float(recall[index]),
            f1=float(f1[index]),
            auroc=float(areas[index]),
        )
        for index in range(len(matrix))
    )


def overall(probabilities: FloatArray, labels: IntArray) -> Mapping[str, float]:
    """Figures over all classes.

    Returns:
        `accuracy`; `auroc_macro`, `balanced_accuracy` (mean recall) and `f1_macro`, means over the classes that have
        an image. All in [0, 1]; `auroc_macro` is NaN where all images have one class.
    """
    matrix = confusion(probabilities, labels)
    hits, support, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    return {
        "accuracy": float(hits.sum() / matrix.sum()),
        "auroc_macro": mean_of_defined(auroc_by_class(probabilities, labels)),
        "balanced_accuracy": mean_of_defined(ratio(hits, support)),
        "f1_macro": mean_of_defined(_f1(hits, support, predicted)),
    }


def roc_by_class(probabilities: FloatArray, labels: IntArray) -> tuple[RocCurve | None, ...]:
    """ROC curve of each class against the rest; None where no image or every image has the class."""
    curves: list[RocCurve | None] = []
    for index in range(probabilities.shape[1]):
        positive = labels == index
        defined = 0 < positive.sum() < len(labels)
        curves.append(_roc(positive, probabilities[:, index]) if defined else None)
    return tuple(curves)


def roc_micro(probabilities: FloatArray, labels: IntArray) -> RocCurve:
    """One ROC curve for all classes together: every pair of an image and a class is one yes-or-no question."""
    positive = labels[:, None] == np.arange(probabilities.shape[1])
    return _roc(positive.ravel(), probabilities.ravel())


def _roc(positive: npt.NDArray[np.bool_], scores: FloatArray) -> RocCurve:
    fpr, tpr, thresholds = roc_curve(positive, scores)
    if len(fpr) > _ROC_POINTS:
        keep = np.unique(np.linspace(0, len(fpr) - 1, _ROC_POINTS).round().astype(int))
        fpr, tpr, thresholds = fpr[keep], tpr[keep], thresholds[keep]
    return RocCurve(tuple(map(float, fpr)), tuple(map(float, tpr)), tuple(map(float, thresholds)))


def _f1(
    hits: npt.NDArray[np.int64], support: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """F1 of each class; NaN for a class without an image, as its recall is."""
    return np.where(support > 0, ratio(2 * hits, support + predicted), np.nan)


def ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """part / whole, NaN where the whole is 0."""
    shares: npt.NDArray[np.float64] = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares
