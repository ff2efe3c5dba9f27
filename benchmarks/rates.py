"""How many answers a second a server gives at most, with as many callers as it bears; two servers beside each other."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.callers import Load
from secondread.config.loadtest import LoadTestConfig
from secondread.errors import DependencyError
from secondread.logging import get_logger

P99_BELOW_MS = LoadTestConfig.p99_below_ms

Send = Callable[[int, float], Load]  # puts load on a server: callers, seconds

log = get_logger(__name__)


@dataclass(frozen=True)
class Effort:
    """How long is measured.

    Attributes:
        callers: numbers of callers at the same time to try; a server that bounds what is in flight refuses more.
        seconds: of load with each of these.
        rounds: of all of it.
    """

    callers: tuple[int, ...] = (2, 4, 8, 16, 32)
    seconds: float = 2.0
    rounds: int = 8


@dataclass(frozen=True)
class Highest:
    """The most that a server bears.

    Attributes:
        callers: that it bears.
        rate: answers a second that they get, the median over rounds.
        p99_ms: milliseconds, of all rounds together.
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
        ratio: of our highest rate to theirs, the median over rounds.
        ours, theirs: the highest.
        requests: that these rates come from.
    """

    ratio: float
    ours: Highest
    theirs: Highest
    requests: int


def highest(send: Send, effort: Effort) -> Highest:
    """The number of callers who get the most answers a second with a P99 below 300 ms.

    Raises:
        DependencyError: even the fewest callers wait longer, or a request failed.
    """
    (steps,) = _by_turns([send], effort)
    return _highest(steps)


def beside(ours: Send, theirs: Send, effort: Effort) -> Compared:
    """The same of two servers, by turns, so that a machine that drifts slows both.

    Raises:
        DependencyError: a server does not bear the fewest callers, or a request failed.
    """
    sides = _by_turns([ours, theirs], effort)
    mine, other = (_highest(steps) for steps in sides)
    log.info("ours: %s; theirs: %s", mine, other)
    loads = sides[0][mine.callers], sides[1][other.callers]
    ratio = statistics.median(one.rate / another.rate for one, another in zip(*loads, strict=True))
    return Compared(ratio, mine, other, sum(len(load.seconds) for side in loads for load in side))


def _by_turns(sends: Sequence[Send], effort: Effort) -> list[dict[int, list[Load]]]:
    """Each server's loads, by number of callers, one a round."""
    found: list[dict[int, list[Load]]] = [{callers: [] for callers in effort.callers} for _ in sends]
    for send in sends:
        send(effort.callers[0], effort.seconds)  # the first answers are slow
    for number in range(effort.rounds):
        for callers in effort.callers:
            sides = list(zip(sends, found, strict=True))
            for send, steps in sides if number % 2 else reversed(sides):
                steps[callers].append(send(callers, effort.seconds))
    return found


def _highest(steps: Mapping[int, Sequence[Load]]) -> Highest:
    found = []
    for callers, loads in steps.items():
        seconds, rate = np.concatenate([load.seconds for load in loads]), statistics.median(load.rate for load in loads)
        found.append(Highest(callers, rate, Load(tuple(seconds), rate).p99_ms))
    borne = [each for each in found if each.p99_ms < P99_BELOW_MS]
    if not borne:
        least = min(each.p99_ms for each in found)
        raise DependencyError(f"P99 is {least:.0f} ms at best, not below {P99_BELOW_MS:g} ms: is the machine busy?")
    return max(borne, key=lambda each: each.rate)
