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
        peer: what it is compared with; empty where it is a figure of its own.
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
        first, second = (ours, theirs) if number % 2 else (theirs, ours)
        seconds = {first: _timed(first), second: _timed(second)}
        if number:
            ratios.append(seconds[theirs] / seconds[ours])
    return statistics.median(ratios)


def _timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
