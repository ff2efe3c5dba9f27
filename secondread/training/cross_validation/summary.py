"""What the folds say together: means with intervals over folds, and figures of all held-out predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.config.evaluate import EvaluateConfig
from secondread.evaluation.intervals.bootstrap import intervals
from secondread.evaluation.metrics.by_name import confusion, overall
from secondread.evaluation.metrics.calibration import ece
from secondread.evaluation.paired.difference import differences
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

    AUROC then compares scores of different models; their scaling makes that possible, and costs a little. Here alone
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


def quantized(predictions: pd.DataFrame, classes: Sequence[str], *, seed: int) -> dict[str, Any]:
    """By how much the graphs that would be served differ from those that were trained, on all held-out images.

    Args:
        predictions: of all folds, with `served` beside `probabilities`.
        classes: names in the order of the probabilities.
        seed: of the draws.
    Returns:
        `differences` (`accuracy`, `auroc_macro`, `ece`: the served graphs' less the trained ones', with intervals by
        group where there is one) and `agreement`, the share of images that both call the same.
    """
    before, after = (
        np.stack(predictions[column].to_list()).astype(np.float32) for column in ("probabilities", "served")
    )
    labels = predictions["label"].map(list(classes).index).to_numpy(np.int64)
    groups = predictions["group_id"].to_numpy(object)
    found = differences(before, after, labels, groups, EvaluateConfig(level=LEVEL, seed=seed))
    told = {
        name: {"value": _known(each.value), "low": _known(each.low), "high": _known(each.high)}
        for name, each in found.items()
    }
    error = ece(after, labels) - ece(before, labels)
    return {
        "differences": {**told, "ece": {"value": error, "low": None, "high": None}},
        "agreement": float((before.argmax(axis=1) == after.argmax(axis=1)).mean()),
    }


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
