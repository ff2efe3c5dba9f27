"""The highest rate that a server bears, and that of two servers beside each other."""

from __future__ import annotations

import pytest

from benchmarks.callers import Load
from benchmarks.rates import Effort, beside, highest
from secondread.errors import DependencyError

EFFORT = Effort((2, 4, 8), step_seconds=1.0, rounds=3, round_seconds=2.0)


class Server:
    """Answers at a rate and with a P99 that hang on the number of callers.

    Args:
        steps: callers to answers a second and seconds.
    """

    def __init__(self, steps: dict[int, tuple[float, float]]) -> None:
        self.steps = steps
        self.asked: list[tuple[int, float]] = []

    def send(self, callers: int, seconds: float) -> Load:
        self.asked.append((callers, seconds))
        rate, slowest = self.steps[callers]
        return Load((0.001,) * 90 + (slowest,) * 10, rate)


def test_the_highest_rate_is_one_with_a_p99_below_300_ms() -> None:
    server = Server({2: (100.0, 0.01), 4: (180.0, 0.299), 8: (250.0, 0.3)})
    found = highest(server.send, EFFORT)
    assert (found.callers, found.rate, found.p99_ms) == (4, 180.0, pytest.approx(299))
    assert str(found) == "180 a second of 4 callers, P99 299 ms"


def test_more_callers_are_not_taken_for_more_answers() -> None:
    server = Server({2: (100.0, 0.01), 4: (180.0, 0.02), 8: (170.0, 0.04)})
    assert highest(server.send, EFFORT).callers == 4


def test_a_server_that_is_too_slow_for_the_fewest_callers_has_no_rate() -> None:
    server = Server(dict.fromkeys(EFFORT.callers, (10.0, 0.5)))
    with pytest.raises(DependencyError, match="P99 is 500 ms at best, not below 300"):
        highest(server.send, EFFORT)


def test_servers_beside_each_other_have_the_callers_that_suit_each() -> None:
    ours = Server({2: (100.0, 0.01), 4: (180.0, 0.02), 8: (300.0, 0.04)})
    theirs = Server({2: (100.0, 0.01), 4: (120.0, 0.02), 8: (110.0, 0.04)})
    found = beside(ours.send, theirs.send, EFFORT)
    assert found.ratio == 2.5
    assert (found.ours.callers, found.theirs.callers) == (8, 4)
    assert ours.asked[-3:] == [(8, 2.0)] * 3
    assert theirs.asked[-3:] == [(4, 2.0)] * 3
    assert found.requests == 6 * 100


def test_the_ratio_is_that_of_the_rounds_and_not_of_the_search() -> None:
    ours, theirs = (Server(dict.fromkeys(EFFORT.callers, (100.0, 0.01))) for _ in range(2))
    rounds = iter([90.0, 300.0, 110.0])

    def drifting(callers: int, seconds: float) -> Load:
        load = ours.send(callers, seconds)
        return load if seconds == EFFORT.step_seconds else Load(load.seconds, next(rounds))

    assert beside(drifting, theirs.send, EFFORT).ratio == pytest.approx(1.1)
