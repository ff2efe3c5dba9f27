"""Bounds of a figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secondread.evaluation.metrics.arrays import Draws


@dataclass(frozen=True)
class Interval:
    """Bounds between which a figure lies in `level` of the resamples; NaN where that cannot be known."""

    low: float
    high: float


UNKNOWN = Interval(float("nan"), float("nan"))


def percentile(values: Draws, level: float) -> Interval:
    """Bounds of the middle `level` of some draws, float64 (draws,); those that are NaN are left out.

    Of n draws the p-th part is taken at rank (n + 1) p: by numpy's own rank, intervals of 100 draws hold the truth two
    points too seldom. Source: Davison & Hinkley 1997, "Bootstrap Methods and their Application", chapter 5.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return UNKNOWN
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(values, [tail, 100 - tail], method="weibull")
    return Interval(float(low), float(high))


def exact_if_all_agree(value: float, units: int, level: float) -> Interval:
    """Bounds of a share that is 0 or 1: no draw differs, and yet as many others might not all agree.

    Args:
        value: 0 or 1; of any other the bounds are not known.
        units: independent patients that it is a share of, at least 1.
        level: of the interval.
    Source: Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    least = ((1 - level) / 2) ** (1 / units) if units else float("nan")
    if value == 1:
        return Interval(least, 1.0)
    return Interval(0.0, 1 - least) if value == 0 else UNKNOWN
