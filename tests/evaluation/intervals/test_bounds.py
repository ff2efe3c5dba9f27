"""Bounds from draws, and of shares close to 0 or 1."""

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom, binomtest

from secondread.evaluation.intervals.bootstrap import group_weights
from secondread.evaluation.intervals.bounds import Interval, exact, percentile, share


def test_bounds_are_percentiles_of_the_draws_that_are_known() -> None:
    """Of 99 draws 5 lie at or below the 5th: a hundredth one would be as likely in each of the 100 gaps."""
    values = np.random.default_rng(0).permutation([np.nan, *np.arange(1, 100)])
    assert percentile(values, 0.9) == Interval(pytest.approx(5), pytest.approx(95))


def test_no_known_draw_has_no_bounds() -> None:
    found = percentile(np.full(5, np.nan), 0.95)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize("units", [1, 12, 300])
@pytest.mark.parametrize("right", [0.0, 0.5, 1.0])
def test_12_of_12_is_no_certainty(units: int, right: float) -> None:
    hits = int(right * units)
    bounds = binomtest(hits, units).proportion_ci(0.95, method="exact")
    found = exact(hits / units, units, 0.95)
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high))


def drawn(wrong: npt.NDArray[np.bool_], groups: npt.NDArray[np.int64], *, seed: int = 0) -> Interval:
    """Bounds of the share that is wrong."""
    patients = len(np.unique(groups))
    weights = group_weights(groups, resamples=300, seed=seed)
    return share(weights @ wrong / weights.sum(axis=1), float(wrong.mean()), 0.95, patients=patients)


@pytest.mark.parametrize("patients", [24, 150])
def test_a_mistake_more_never_gives_a_better_bound(patients: int) -> None:
    """By percentiles alone one mistake of 150 allows 2.0 % of them, and none at all 2.4 %."""
    groups = np.arange(patients)
    found = [drawn(groups < mistakes, groups) for mistakes in range(6)]
    assert all(one.low <= more.low and one.high < more.high for one, more in pairwise(found))
    for mistakes, bounds in enumerate(found):
        known = binomtest(mistakes, patients).proportion_ci(0.95, method="exact")
        assert bounds.low <= known.low + 0.002
        assert bounds.high == pytest.approx(known.high, rel=0.05)


def test_images_of_one_patient_that_are_not_alike_are_worth_more_than_one() -> None:
    """50 patients with 20 images each, a fifth of which is wrong by lot: far narrower than 50 images."""
    wrong, groups = np.random.default_rng(0).random(1000) < 0.2, np.arange(1000) // 20
    found = drawn(wrong, groups)
    of_images = binomtest(int(wrong.sum()), 1000).proportion_ci(0.95, method="exact")
    assert found.high - found.low < 2 * (of_images.high - of_images.low)
    alike = drawn(np.repeat(wrong[:50], 20), groups)
    of_patients = binomtest(int(wrong[:50].sum()), 50).proportion_ci(0.95, method="exact")
    assert (alike.low, alike.high) == pytest.approx((of_patients.low, of_patients.high), abs=0.03)


@pytest.mark.parametrize("true", [0.005, 0.01, 0.03, 0.2])
def test_bounds_of_a_rare_mistake_hold_the_truth_as_often_as_they_say(true: float) -> None:
    """100 patients with four images each, which are somewhat alike; percentiles miss 1 % one time in five."""
    rng, trials, groups = np.random.default_rng(1), 200, np.arange(400) // 4
    missed = 0
    for trial in range(trials):
        found = drawn(rng.random(400) < rng.beta(true, 1 - true, 100)[groups], groups, seed=trial)
        missed += not found.low <= true <= found.high
    assert missed <= binom.ppf(0.99, trials, 0.05)
