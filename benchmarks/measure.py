"""One measurement: its key, what it is compared with, and how two things are timed fairly on a shared machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
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


def _timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
