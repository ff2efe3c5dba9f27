"""One measurement: its key, what it is compared with, and how two things are timed fairly on a shared machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """A figure.

    Attributes:
        key: stable name, such as `data.decode_64.speedup_vs_pillow`.
        value: the figure; a ratio where there is a peer.
        unit: such as `x`, `images/s`, `points`.
        peer: what it is compared with, and on what; `none; ...` where it is a figure of its own.
        n: how many images, requests or runs it comes from.
    """

    key: str
    value: float
    unit: str
    peer: str
    n: int


def paired_ratio(ours: Callable[[], object], theirs: Callable[[], object], *, rounds: int = 7) -> float:
    """How many times faster ours is: the median over rounds of theirs / ours, each round back to back.

    The machine's speed drifts, so only neighbours in time are compared. One round before does not count.
    """
    ratios = []
    for number in range(rounds + 1):
        if number % 2:
            mine, other = _timed(ours), _timed(theirs)
        else:
            other, mine = _timed(theirs), _timed(ours)
        if number:
            ratios.append(other / mine)
    return statistics.median(ratios)


def between(
    ours: Callable[[], float], theirs: Sequence[Callable[[], float]], *, rounds: int
) -> tuple[list[float], ...]:
    """Our rate over each of theirs, round by round: ours, theirs, ours, theirs, ours.

    The machine's speed drifts, so each round of theirs is compared with the mean of ours before it and after it.

    Args:
        ours: measures our rate, such as images a second.
        theirs: each measures another's.
        rounds: how often.
    Returns:
        For each of `theirs` the ratios of all rounds.
    """
    ratios: tuple[list[float], ...] = tuple([] for _ in theirs)
    before = ours()
    for _ in range(rounds):
        rates = [measure() for measure in theirs]
        after = ours()
        for found, rate in zip(ratios, rates, strict=True):
            found.append((before + after) / 2 / rate)
        before = after
    return ratios


def _timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
