"""How many threads a run of a graph gets on a machine that Triton shares with the server in front of it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from secondread.model.session import GraphSession

LIGHT_SECONDS = 0.001  # what else an answer takes, decoding and gRPC, is as long
_RUNS = 6  # of which the quickest counts: the first is never it


def threads_of_a_run(graph: Path, cpus: int, *, light_seconds: float = LIGHT_SECONDS) -> int:
    """One for a light graph, all CPUs for any other.

    Threads of one run wait for each other by spinning. Of a light graph a second one hardly shortens the run, and takes
    the CPU from whoever decodes the next image: with the preset for 64 pixels on two CPUs, a third fewer answers, each
    for a third more processor time. A heavier graph is what an answer waits for.

    Args:
        graph: ONNX file, as it is served.
        cpus: that there are for Triton and the server in front of it.
        light_seconds: that a run of a light graph stays below, with one image and one thread.
    Raises:
        IntegrityError: the graph cannot be opened.
    """
    if cpus == 1:
        return 1
    session = GraphSession(graph, threads=1)
    pixels = np.zeros((1, 1, session.size, session.size), np.uint8)
    return 1 if min(_seconds(session, pixels) for _ in range(_RUNS)) < light_seconds else cpus


def _seconds(session: GraphSession, pixels: npt.NDArray[np.uint8]) -> float:
    start = time.perf_counter()
    session.run(pixels)
    return time.perf_counter() - start
