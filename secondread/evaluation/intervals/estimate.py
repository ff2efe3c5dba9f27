"""A figure and how sure it is: bounds from resampling patients, or from their number where none of them showed it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondread.evaluation.intervals.bounds import exact, percentile, share


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval; NaN for what cannot be known.

    Attributes:
        value: on the images as they are.
        low, high: interval of `value`.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def bounded(self) -> bool:
        """It has an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


UNKNOWN = Estimate(math.nan)


def resampled(value: float, drawn: npt.NDArray[np.float64], *, level: float) -> Estimate:
    """A figure with the interval of its draws.

    Args:
        value: on the images as they are.
        drawn: float64 (resamples,), the figure of each draw; NaN where a draw cannot give it.
        level: share of the draws inside.
    Returns:
        With NaN bounds where all draws agree: an interval of no width would promise that other patients agree, too.
    """
    known = drawn[~np.isnan(drawn)]
    if math.isnan(value) or not len(known) or np.ptp(known) <= 1e-12 * max(1.0, abs(value)):
        return Estimate(value, math.nan, math.nan)
    bounds = percentile(known, level)
    return Estimate(value, bounds.low, bounds.high)


def resampled_share(value: float, drawn: npt.NDArray[np.float64], *, patients: int, level: float) -> Estimate:
    """As `resampled`, for a simple share of so many patients: `bounds.share`, which also bounds what nobody showed."""
    if math.isnan(value) or not patients:
        return Estimate(value, math.nan, math.nan)
    bounds = share(drawn, value, level, patients=patients)
    return Estimate(value, bounds.low, bounds.high)


def unseen_at_most(patients: int, level: float) -> float:
    """Largest share of patients that may show what none of these did: the upper end of the exact interval at 0.

    Args:
        patients: that were looked at.
        level: of the interval.
    Returns:
        In [0, 1], about 3.7 / patients at 0.95; NaN without patients. Taken for a share of images, it holds where
        patients have about as many images each.
    Source: Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    return exact(0.0, patients, level).high if patients else math.nan
