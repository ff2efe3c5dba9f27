"""The highest rate that a server bears, and that of two servers beside each other."""

from __future__ import annotations

import pytest

from benchmarks.callers import Load
from benchmarks.rates import Effort, Send, beside, highest
from secondread.errors import DependencyError

EFFORT = Effort((2, 4, 8), seconds=1.0, rounds=3)


def server(steps: dict[int, tuple[float, float]]) -> Send:
    """Answers at a rate and with a P99 (s) that hang on the number of callers."""

    def send(callers: int, seconds: float) -> Load:
        assert seconds == EFFORT.seconds
        rate, slowest = steps[callers]
        return Load((0.001,) * 90 + (slowest,) * 10, rate)

    return send


def test_the_highest_rate_is_one_with_a_p99_below_300_ms() -> None:
    found = highest(server({2: (100.0, 0.01), 4: (180.0, 0.299), 8: (250.0, 0.3)}), EFFORT)
    assert (found.callers, found.rate, found.p99_ms) == (4, 180.0, pytest.approx(299))
    assert str(found) == "180 a second of 4 callers, P99 299 ms"


def test_more_callers_are_not_taken_for_more_answers() -> None:
    assert highest(server({2: (100.0, 0.01), 4: (180.0, 0.02), 8: (170.0, 0.04)}), EFFORT).callers == 4


def test_a_server_that_is_too_slow_for_the_fewest_callers_has_no_rate() -> None:
    with pytest.raises(DependencyError, match="P99 is 500 ms at best, not below 300 ms"):
        highest(server(dict.fromkeys(EFFORT.callers, (10.0, 0.5))), EFFORT)


def test_servers_beside_each_other_have_the_callers_that_suit_each() -> None:
    ours = server({2: (100.0, 0.01), 4: (180.0, 0.02), 8: (300.0, 0.04)})
    theirs = server({2: (100.0, 0.01), 4: (120.0, 0.02), 8: (110.0, 0.04)})
    found = beside(ours, theirs, EFFORT)
    assert found.ratio == 2.5
    assert (found.ours.callers, found.theirs.callers) == (8, 4)
    assert found.requests == 2 * EFFORT.rounds * 100


def test_a_round_that_is_slow_for_both_changes_no_ratio() -> None:
    speeds = [1.0, 1.0, 0.2, 0.7]  # the first is before the rounds
    effort = Effort((2,), seconds=1.0, rounds=3)

    def drifting(rate: float) -> Send:
        left = iter(speeds)
        return lambda *_: Load((0.01,) * 100, rate * next(left))

    assert beside(drifting(300.0), drifting(200.0), effort).ratio == pytest.approx(1.5)


def test_a_p99_that_is_kept_in_some_rounds_alone_is_not_kept() -> None:
    slow = iter([0.01, 0.01, 0.01, 0.01, 0.4, 0.01, 0.4])  # of four callers in the second and in the third round

    def send(callers: int, seconds: float) -> Load:
        return Load((next(slow),) * 100, 100.0 * callers)

    assert beside(send, server({2: (100.0, 0.01), 4: (200.0, 0.02)}), Effort((2, 4), 1.0, 3)).ours.callers == 2
