"""Bounds from draws, and of shares of which every draw is the same."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from secondread.evaluation.intervals.bounds import Interval, exact_if_all_agree, percentile


def test_bounds_are_percentiles_of_the_draws_that_are_known() -> None:
    """Of 99 draws 5 lie at or below the 5th: a hundredth one would be as likely in each of the 100 gaps."""
    values = np.random.default_rng(0).permutation([np.nan, *np.arange(1, 100)])
    assert percentile(values, 0.9) == Interval(pytest.approx(5), pytest.approx(95))


def test_no_known_draw_has_no_bounds() -> None:
    found = percentile(np.full(5, np.nan), 0.95)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize("units", [1, 12, 300])
@pytest.mark.parametrize("right", [True, False])
def test_12_of_12_is_no_certainty(units: int, right: bool) -> None:
    exact = binomtest(units if right else 0, units).proportion_ci(0.95, method="exact")
    found = exact_if_all_agree(float(right), units, 0.95)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_of_a_share_between_0_and_1_nothing_is_promised_here() -> None:
    assert math.isnan(exact_if_all_agree(0.5, 10, 0.95).low)
