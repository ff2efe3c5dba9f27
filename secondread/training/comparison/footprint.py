"""How much memory a training holds at its peak, all its processes together."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import psutil

from secondread.child import Child

_EVERY_SECONDS = 0.5  # looking at all processes of a machine takes some 10 ms of a core
_MIB = 1 << 20


@dataclass(frozen=True)
class Footprint:
    """What a child took.

    Attributes:
        wall_seconds: from its start to its end: libraries, start of further processes, calibration and export included.
        peak_memory_mib: largest sum of resident memory of the child and all that descend from it; what several of them
            share, such as libraries, counts in each. It is looked at twice a second.
    """

    wall_seconds: float
    peak_memory_mib: float


def watch(child: Child, *, started: float) -> Footprint:
    """Wait for the end of a child and say what it took.

    Args:
        child: that runs.
        started: `time.perf_counter()` before it was started.
    """
    peak = 0
    while not child.wait(_EVERY_SECONDS):
        peak = max(peak, resident_bytes(child.pid))
    return Footprint(time.perf_counter() - started, peak / _MIB)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and all that descend from it; 0 where it has ended."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for member in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += member.memory_info().rss
    return total
