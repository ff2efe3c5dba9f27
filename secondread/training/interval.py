"""The mean of some trainings that differ by chance alone, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student_t

LEVEL = 0.95
_SHARES = frozenset({"accuracy", "auroc_macro", "average_precision_macro", "balanced_accuracy", "f1_macro"})


def mean_with_interval(
    values: Sequence[float], *, level: float = LEVEL, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> dict[str, float | None]:
    """Mean, sample standard deviation and Student's t interval of the mean.

    Args:
        values: one a fold, or a seed; at least one.
        level: of the interval.
        bounds: which no such value can leave, so neither does the interval.
    Returns:
        `value`, `sd`, `low`, `high`; of a single value only `value`, the others None. Values that are all the same
        have no `low` and `high` either: that three runs tie does not promise that a fourth will.
    """
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return {"value": mean, "sd": None, "low": None, "high": None}
    if min(values) == max(values):
        return {"value": mean, "sd": 0.0, "low": None, "high": None}
    deviation = float(np.std(values, ddof=1))
    half = float(student_t.ppf((1 + level) / 2, count - 1)) * deviation / math.sqrt(count)
    return {"value": mean, "sd": deviation, "low": max(bounds[0], mean - half), "high": min(bounds[1], mean + half)}


def bounds_of(name: str) -> tuple[float, float]:
    """What a figure of that name cannot leave: a share 0 and 1, a Brier score 0 and 2, a loss or a cost 0."""
    return (0.0, 1.0 if name in _SHARES else 2.0 if name == "brier" else math.inf)
