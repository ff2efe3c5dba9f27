"""What the folds say together: means with intervals over folds, and figures of all held-out predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.evaluation.bootstrap import intervals
from secondread.evaluation.metrics import confusion, overall
from secondread.training.interval import LEVEL, bounds_of, mean_with_interval

PREDICTIONS_FILE = "predictions.parquet"


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
            means[name] = mean_with_interval(values, bounds=bounds_of(name))
    return means


def pooled(predictions: pd.DataFrame, classes: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Figures of all held-out predictions as one set, with intervals from drawing whole groups (patients) again.

    AUROC then compares scores of different models; their temperatures make that possible, and cost a little. Here alone
    are there images enough to tell the calibration error, which stands beside that of a perfectly calibrated model.

    Args:
        predictions: of all folds.
        classes: names in the order of the probabilities.
        seed: of the draws.
    """
    probabilities = np.stack(predictions["probabilities"].to_list()).astype(np.float32)
    labels = predictions["label"].map(list(classes).index).to_numpy(np.int64)
    groups = predictions["group_id"].to_numpy(object)
    found = intervals(probabilities, labels, groups, level=LEVEL, seed=seed)
    figures = {
        name: {"value": _known(value), "low": _known(found.overall[name].low), "high": _known(found.overall[name].high)}
        for name, value in overall(probabilities, labels).items()
    }
    likely = found.ece_if_calibrated
    matrix: npt.NDArray[np.int64] = confusion(probabilities, labels)
    return {
        "metrics": figures,
        "ece_if_calibrated": {"low": _known(likely.low), "high": _known(likely.high)},
        "confusion": matrix.tolist(),
        "images": len(labels),
        "groups": len(np.unique(groups)),
    }


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
