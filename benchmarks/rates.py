"""How many answers a second two servers give at most, each with as many callers as it bears, beside each other."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.callers import Load
from secondread.config.loadtest import LoadTestConfig
from secondread.errors import DependencyError
from secondread.logging import get_logger

P99_BELOW_MS = LoadTestConfig.p99_below_ms
CALLERS = (2, 4, 8, 16, 32)  # at the same time; more are refused by a server that bounds what is in flight

Send = Callable[[int, float], Load]  # puts load on a server: callers, seconds

log = get_logger(__name__)


@dataclass(frozen=True)
class Effort:
    """How long is measured.

    Attributes:
        callers: numbers of callers to try.
        step_seconds: of load with each of these.
        rounds: of both servers, once each has the callers that suit it.
        round_seconds: of load on each server in a round.
    """

    callers: Sequence[int]
    step_seconds: float
    rounds: int
    round_seconds: float


EFFORT = Effort(CALLERS, step_seconds=3.0, rounds=12, round_seconds=2.0)


@dataclass(frozen=True)
class Highest:
    """The most that a server bears.

    Attributes:
        callers: that it bears.
        rate: answers a second that they get.
        p99_ms: milliseconds.
    """

    callers: int
    rate: float
    p99_ms: float

    def __str__(self) -> str:
        """In words."""
        return f"{self.rate:.0f} a second of {self.callers} callers, P99 {self.p99_ms:.0f} ms"


@dataclass(frozen=True)
class Compared:
    """Two servers beside each other.

    Attributes:
        ratio: of our rate to theirs, the median over rounds.
        ours, theirs: over all rounds.
        requests: answered by both in all rounds.
    """

    ratio: float
    ours: Highest
    theirs: Highest
    requests: int


def highest(send: Send, effort: Effort = EFFORT) -> Highest:
    """Find the number of callers who get the most answers a second with a P99 below 300 ms.

    Raises:
        DependencyError: even the fewest callers wait longer, or a request failed.
    """
    send(effort.callers[0], effort.step_seconds)  # the first answers are slow
    steps = {callers: send(callers, effort.step_seconds) for callers in effort.callers}
    borne = [Highest(callers, load.rate, load.p99_ms) for callers, load in steps.items() if load.p99_ms < P99_BELOW_MS]
    if not borne:
        slowest = min(load.p99_ms for load in steps.values())
        raise DependencyError(f"P99 is {slowest:.0f} ms at best, not below {P99_BELOW_MS:g}: is the machine busy?")
    return max(borne, key=lambda found: found.rate)


def beside(ours: Send, theirs: Send, effort: Effort = EFFORT) -> Compared:
    """Load on both by turns, each with the callers that suit it, so that a machine that drifts slows both.

    Raises:
        DependencyError: a server does not bear the fewest callers, or a request failed.
    """
    sides = {"ours": ours, "theirs": theirs}
    callers = {name: highest(send, effort).callers for name, send in sides.items()}
    ratios: list[float] = []
    loads: dict[str, list[Load]] = {name: [] for name in sides}
    for number in range(effort.rounds):
        for name in list(sides) if number % 2 else list(reversed(sides)):
            loads[name].append(sides[name](callers[name], effort.round_seconds))
        ratios.append(loads["ours"][-1].rate / loads["theirs"][-1].rate)
    found = {name: _together(callers[name], loads[name]) for name in sides}
    for name, each in found.items():
        log.info("%s: %s", name, each)
    requests = sum(len(load.seconds) for each in loads.values() for load in each)
    return Compared(statistics.median(ratios), found["ours"], found["theirs"], requests)


def _together(callers: int, loads: Sequence[Load]) -> Highest:
    seconds = tuple(np.concatenate([load.seconds for load in loads]))
    rate = statistics.median([load.rate for load in loads])
    return Highest(callers, rate, Load(seconds, rate).p99_ms)
