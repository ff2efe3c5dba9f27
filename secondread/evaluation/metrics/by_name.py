"""How good a classifier's probabilities are: the figures, by name, of as many draws of the images as are asked for.

Arguments as in `secondread.evaluation.metrics.arrays`. `OVERALL` and `BY_CLASS` name every figure: the same names are
in the JSON, in MLflow, in gates and in the registry's tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix

from secondread.evaluation.metrics import calibration, ranking
from secondread.evaluation.metrics.arrays import BoolArray, Draws, FloatArray, IntArray, mean_of_defined, once, ratio

# What people read for each figure over all classes. Means are over the classes that have an image.
OVERALL: Mapping[str, str] = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auroc_macro": "AUROC, mean of classes",
    "average_precision_macro": "Average precision, mean of classes",
    "f1_macro": "F1, mean of classes",
    "nll": "Log loss (nats)",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
}
# What people read for each figure of a class against the rest; the first two are numbers of images.
BY_CLASS: Mapping[str, str] = {
    "support": "Images",
    "predicted": "Called so",
    "precision": "Precision",
    "recall": "Recall (sensitivity)",
    "specificity": "Specificity",
    "f1": "F1",
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "sensitivity_at_specificity": "Sensitivity at fixed specificity",
    "specificity_at_sensitivity": "Specificity at fixed sensitivity",
}
COUNTS = ("support", "predicted")
LOWER_IS_BETTER = ("nll", "brier", "ece")


@dataclass(frozen=True)
class Measured:
    """Every figure of every draw; NaN where its images cannot tell.

    Attributes:
        overall: by name of `OVERALL`, float64 (draws,). Shares and areas in [0, 1]; `nll` in nats, from 0; `brier`, the
            sum over classes, in [0, 2]; `ece` in [0, 1].
        by_class: by name of `BY_CLASS`, float64 (draws, classes).
        gaps: accuracy minus confidence in each bin of confidence, float64 (draws, bins).
    """

    overall: Mapping[str, Draws]
    by_class: Mapping[str, Draws]
    gaps: npt.NDArray[np.float64]


def measure(
    probabilities: FloatArray,
    labels: IntArray,
    weights: npt.NDArray[np.number],
    *,
    fixed_specificity: float = 0.9,
    fixed_sensitivity: float = 0.9,
) -> Measured:
    """Every figure of each draw.

    Args:
        probabilities: float (images, classes).
        labels: int (images,).
        weights: (draws, images), how often each image counts; no draw is empty.
        fixed_specificity: at which `sensitivity_at_specificity` is taken, in [0, 1].
        fixed_sensitivity: at which `specificity_at_sensitivity` is taken, in [0, 1].
    """
    weights = weights.astype(np.float64)  # once, and not in each product
    by_class = _called(probabilities, labels, weights)
    ranked = _ranked(probabilities, labels, weights, (fixed_specificity, fixed_sensitivity))
    calibrated, gaps = measure_calibration(probabilities, labels, weights)
    overall = {
        "accuracy": weighted_accuracy(probabilities.argmax(axis=1) == labels, weights),
        "balanced_accuracy": mean_of_defined(by_class["recall"]),
        "auroc_macro": mean_of_defined(ranked["auroc"]),
        "average_precision_macro": mean_of_defined(ranked["average_precision"]),
        "f1_macro": mean_of_defined(by_class["f1"]),
        **calibrated,
    }
    return Measured(overall, {**by_class, **ranked}, gaps)


def measure_calibration(
    probabilities: FloatArray, labels: IntArray, weights: npt.NDArray[np.number]
) -> tuple[dict[str, Draws], npt.NDArray[np.float64]]:
    """`nll`, `brier` and `ece` of each draw, float64 (draws,), and the gaps of `Measured`, float64 (draws, bins)."""
    total = weights.sum(axis=1).astype(np.float64)
    gaps = calibration.gaps(probabilities, labels, weights)
    figures = {
        "nll": ratio(weights @ calibration.nll_of_images(probabilities, labels), total),
        "brier": ratio(weights @ calibration.brier_of_images(probabilities, labels), total),
        "ece": calibration.ece_of_gaps(gaps),
    }
    return figures, gaps


def overall(probabilities: FloatArray, labels: IntArray) -> dict[str, float]:
    """The figures of `OVERALL` on the images as they are."""
    return {name: float(draws[0]) for name, draws in measure(probabilities, labels, once(len(labels))).overall.items()}


def weighted_accuracy(right: BoolArray, weights: npt.NDArray[np.number]) -> Draws:
    """Accuracy of each draw, float64 (draws,). `right` is bool (images,)."""
    return np.asarray((weights @ right.astype(np.float64)) / weights.sum(axis=1), dtype=np.float64)


def macro_auroc(probabilities: FloatArray, labels: IntArray, weights: npt.NDArray[np.number]) -> Draws:
    """Mean AUROC over the classes of each draw, float64 (draws,); NaN where none is defined."""
    return mean_of_defined(ranking.auroc_by_class(probabilities, labels, weights))


def confusion(probabilities: FloatArray, labels: IntArray) -> npt.NDArray[np.int64]:
    """Count images by true class (row) and most probable class (column).

    Returns:
        int64 (classes, classes).
    """
    predicted = probabilities.argmax(axis=1)
    matrix = confusion_matrix(labels, predicted, labels=np.arange(probabilities.shape[1]))
    return np.asarray(matrix, dtype=np.int64)


def _called(probabilities: FloatArray, labels: IntArray, weights: npt.NDArray[np.number]) -> dict[str, Draws]:
    """Figures of the most probable class, (draws, classes) each. A class without an image has no recall and no F1."""
    classes = np.arange(probabilities.shape[1])
    truth = (labels[:, None] == classes).astype(np.float64)
    called = (probabilities.argmax(axis=1)[:, None] == classes).astype(np.float64)
    support, predicted, hits = (weights @ each for each in (truth, called, truth * called))
    negatives = weights.sum(axis=1)[:, None] - support
    return {
        "support": support,
        "predicted": predicted,
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, support),
        "specificity": ratio(negatives - (predicted - hits), negatives),
        "f1": np.where(support > 0, ratio(2 * hits, support + predicted), np.nan),
    }


def _ranked(
    probabilities: FloatArray, labels: IntArray, weights: npt.NDArray[np.number], fixed: tuple[float, float]
) -> dict[str, Draws]:
    """Figures of each class's own probability, (draws, classes) each."""
    found = []
    for index in range(probabilities.shape[1]):
        ranks = ranking.rank(labels == index, probabilities[:, index], weights)
        found.append(
            {
                "auroc": ranking.auroc(ranks),
                "average_precision": ranking.average_precision(ranks),
                "sensitivity_at_specificity": ranking.sensitivity_at_specificity(ranks, fixed[0]),
                "specificity_at_sensitivity": ranking.specificity_at_sensitivity(ranks, fixed[1]),
            }
        )
    return {name: np.stack([each[name] for each in found], axis=1) for name in found[0]}
