"""How long one image takes in the graph, on the machine that judges it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondread.machine import Machine, this_machine
from secondread.model.session import GraphSession

_WARM_UP_RUNS = 3  # onnxruntime plans its memory on the first


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one image, without decoding and without a server.

    Attributes:
        runs: that were timed.
        median_ms, p99_ms: of them.
        machine: where.
    """

    runs: int
    median_ms: float
    p99_ms: float
    machine: Machine


def measure_latency(session: GraphSession, images: npt.NDArray[np.uint8], *, runs: int) -> Latency:
    """Time single images, one after the other.

    Args:
        session: of the graph.
        images: uint8 (images, 1, size, size), taken in turns.
        runs: how many.
    """
    milliseconds = []
    for number in range(-_WARM_UP_RUNS, runs):
        image = np.ascontiguousarray(images[[number % len(images)]])
        start = time.perf_counter()
        session.run(image)
        if number >= 0:
            milliseconds.append(1_000 * (time.perf_counter() - start))
    median, p99 = np.percentile(milliseconds, [50, 99])
    return Latency(runs, float(median), float(p99), this_machine(threads=session.threads))
