"""What the folds say together: means with intervals over folds, and figures of all held-out predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t as student_t

from secondread.evaluation.bootstrap import intervals
from secondread.evaluation.metrics import confusion, overall

LEVEL = 0.95
_SHARES = ("accuracy", "auroc_macro", "balanced_accuracy", "f1_macro")


def mean_with_interval(
    values: Sequence[float], *, level: float = LEVEL, share: bool = False
) -> dict[str, float | None]:
    """Mean, sample standard deviation and Student's t interval of the mean.

    Args:
        values: one a fold, or a seed; at least one.
        level: of the interval.
        share: they lie in [0, 1], and so does the interval.
    Returns:
        `value`, `sd`, `low`, `high`; of a single value only `value`, the others None.
    """
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return {"value": mean, "sd": None, "low": None, "high": None}
    deviation = float(np.std(values, ddof=1))
    half = float(student_t.ppf((1 + level) / 2, count - 1)) * deviation / math.sqrt(count)
    low, high = mean - half, mean + half
    if share:
        low, high = max(0.0, low), min(1.0, high)
    return {"value": mean, "sd": deviation, "low": low, "high": high}


def over_folds(folds: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Each figure's mean over folds.

    The folds' models share most of their training images, so this interval is narrower than that of new sets of images
    would be. Source: Bengio & Grandvalet 2004, "No unbiased estimator of the variance of k-fold cross-validation".

    Args:
        folds: results; a figure that one of them does not have is left out.
    """
    means = {}
    for name in folds[0]["metrics"]:
        values = [fold["metrics"][name] for fold in folds]
        if None not in values:
            means[name] = mean_with_interval(values, share=name in _SHARES)
    return means


def pooled(predictions: pd.DataFrame, classes: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Figures of all held-out predictions as one set, with intervals from drawing whole groups (patients) again.

    AUROC then compares scores of different models; their temperatures make that possible, and cost a little.

    Args:
        predictions: of all folds.
        classes: names in the order of the probabilities.
        seed: of the draws.
    """
    probabilities = np.stack(predictions["probabilities"].to_list()).astype(np.float32)
    labels = predictions["label"].map(list(classes).index).to_numpy(np.int64)
    groups = predictions["group_id"].to_numpy(object)
    bounds = intervals(probabilities, labels, groups, level=LEVEL, seed=seed)
    figures = {
        name: {"value": _known(value), "low": _bound(bounds, name, "low"), "high": _bound(bounds, name, "high")}
        for name, value in overall(probabilities, labels).items()
    }
    matrix: npt.NDArray[np.int64] = confusion(probabilities, labels)
    return {
        "metrics": figures,
        "confusion": matrix.tolist(),
        "images": len(labels),
        "groups": len(np.unique(groups)),
    }


def _bound(bounds: Mapping[str, Any], name: str, side: str) -> float | None:
    return _known(getattr(bounds[name], side)) if name in bounds else None


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
