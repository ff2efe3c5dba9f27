"""Means of some trainings, against an independent computation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from secondread.training.interval import mean_with_interval


def test_the_interval_is_that_of_a_t_test() -> None:
    values = [0.80, 0.84, 0.79, 0.88, 0.83]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = mean_with_interval(values)
    assert found["value"] == pytest.approx(np.mean(values))
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    assert found["sd"] == pytest.approx(pd.Series(values).std())


def test_a_share_stays_in_its_bounds_and_one_value_has_no_interval() -> None:
    assert mean_with_interval([0.90, 1.0], bounds=(0, 1))["high"] == 1.0
    assert mean_with_interval([0.9]) == {"value": 0.9, "sd": None, "low": None, "high": None}


def test_values_that_tie_promise_nothing() -> None:
    assert mean_with_interval([0.9, 0.9, 0.9]) == {"value": 0.9, "sd": 0.0, "low": None, "high": None}
