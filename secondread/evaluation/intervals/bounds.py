"""Bounds of a figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from secondread.evaluation.metrics.arrays import Draws


@dataclass(frozen=True)
class Interval:
    """Bounds between which a figure lies in `level` of the resamples; NaN where that cannot be known."""

    low: float
    high: float


_SAME = 1e-12  # draws that differ by rounding alone are the same

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


def exact(value: float, units: float, level: float) -> Interval:
    """Clopper & Pearson's bounds of a share.

    Args:
        value: in [0, 1].
        units: independent patients that it is a share of, above 0; they need not be a whole number.
        level: of the interval.
    Source: Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    tail, hits = (1 - level) / 2, value * units
    low = float(beta.ppf(tail, hits, units - hits + 1)) if value > 0 else 0.0
    return Interval(low, float(beta.ppf(1 - tail, hits + 1, units - hits)) if value < 1 else 1.0)


def share(values: Draws, value: float, level: float, *, patients: int) -> Interval:
    """Bounds of a simple share: the wider of its percentiles and the exact ones of as many patients as it is worth.

    Close to 0 and 1 percentiles are too narrow: of 150 patients with one mistake they reach to 2.0 %, where none at all
    allows 2.4 %, and one 3.7 %. How many patients it is worth is told by how much the draws vary: more than there are
    where each has many images that are not alike, and as many as there are where all draws agree. One mistake more is
    in it, so that a few that are alike do not make it many; and a bound is never nearer than that of no mistake.

    Args:
        values: of the draws, float64 (draws,); NaN where a draw cannot give it.
        value: on the images as they are, in [0, 1].
        level: of the interval.
        patients: that it is a share of, at least 1.
    Returns:
        Not known where all draws agree on what is neither 0 nor 1, as those of one patient do.
    Source: Korn & Graubard 1998, Survey Methodology 24, 193-201 (exact bounds with the effective number).
    """
    known = values[~np.isnan(values)]
    if not len(known) or np.ptp(known) <= _SAME:
        return exact(value, patients, level) if value in (0, 1) else UNKNOWN
    drawn = percentile(known, level)
    worth = (value * (1 - value) + 1 / patients) / (known.var() + 1 / patients**2)
    bounds, unseen = exact(value, worth, level), exact(0.0, patients, level).high
    return Interval(min(drawn.low, bounds.low, 1 - unseen), max(drawn.high, bounds.high, unseen))
