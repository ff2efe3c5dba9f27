"""What a histogram can tell of the values that were counted in it."""

from __future__ import annotations

import pytest

from secondread.rollout.analysis.observations import Histogram

BOUNDS = (1.0, 2.0, 4.0)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ((10, 0, 0, 0), 0.5, 0.5),
        ((10, 0, 10, 0), 0.75, 3.0),
        ((10, 0, 10, 0), 0.5, 1.0),  # all of a bucket, and nothing in the next: its bound
        ((99, 0, 1, 0), 0.99, 1.0),
        ((99, 0, 1, 0), 0.995, 3.0),
        ((0, 10, 0, 0), 1.0, 2.0),
        ((0, 10, 0, 0), 0.0, 1.0),
    ],
)
def test_a_quantile_lies_within_its_bucket(counts: tuple[float, ...], share: float, expected: float) -> None:
    assert Histogram(BOUNDS, counts).quantile(share) == pytest.approx(expected)


def test_a_quantile_beyond_the_last_bound_is_at_least_that() -> None:
    assert Histogram(BOUNDS, (0, 0, 10, 5)).quantile(0.99) == 4.0


def test_of_no_value_there_is_no_quantile() -> None:
    assert Histogram(BOUNDS, (0, 0, 0, 0)).quantile(0.5) is None
