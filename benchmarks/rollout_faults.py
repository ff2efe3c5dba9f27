"""Servers with something wrong: `serve` as it is, but for what happens between the transformer and Triton.

    python -m benchmarks.rollout_faults FOLDER     as secondread.child has it

Which version is bad in which way stands in a file, by digest, that VARIABLE names; all others are as good as they are.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil

from secondread.atomic import read_json
from secondread.child import answer
from secondread.rollout.splitters import edge, edge_process
from secondread.serving.local import local_server
from secondread.serving.transformer.predictor import Predictor

VARIABLE = "SECONDREAD_BENCH_FAULTS"
SLOW_SECONDS = 0.6
COOLER = 4.0  # temperature that a model's probabilities are taken to
_LEAK_BYTES = 8 << 20  # a request
_KILLED_ABOVE = 1 << 30  # bytes of the transformer, as an OOM killer has it
_EDGE, _SERVER = "edge", "server"

Answer = dict[str, Any]
Fault = Callable[[Answer], Answer]


def _slow(found: Answer) -> Answer:
    time.sleep(SLOW_SECONDS)
    return found


def _failing(every: int) -> Fault:
    numbers, lock = itertools.count(1), threading.Lock()

    def fail(found: Answer) -> Answer:
        with lock:
            number = next(numbers)
        if number % every == 0:
            raise RuntimeError("this version fails now and then")
        return found

    return fail


def _crashing(_: Answer) -> Answer:
    raise AssertionError("this version ends before it answers")


def _permuted(found: Answer) -> Answer:
    return {**found, "probabilities": np.roll(found["probabilities"], 1, axis=1)}


def _unsure(found: Answer) -> Answer:
    cooler = found["probabilities"] ** (1 / COOLER)
    return {**found, "probabilities": (cooler / cooler.sum(axis=1, keepdims=True)).astype(np.float32)}


def _leaking() -> Fault:
    held: list[bytearray] = []

    def leak(found: Answer) -> Answer:
        held.append(bytearray(os.urandom(1) * _LEAK_BYTES))
        if psutil.Process().memory_info().rss > _KILLED_ABOVE:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    return leak


# What is wrong with a version, by name.
FAULTS: dict[str, Callable[[], Fault]] = {
    "slow": lambda: _slow,
    "errors_5_percent": lambda: _failing(20),
    "errors_2_percent": lambda: _failing(50),
    "crash": lambda: _crashing,
    "permuted": lambda: _permuted,
    "unsure": lambda: _unsure,
    "leak": _leaking,
}


class FaultyServer(local_server.LocalServer):
    """A version's server, bad where the file says so."""

    module: ClassVar[str] = "benchmarks.rollout_faults"  # as a program it has another name


class FaultyEdgeProcess(edge_process.EdgeProcess):
    """An edge whose servers are such."""

    module: ClassVar[str] = "benchmarks.rollout_faults"  # as a program it has another name


def _run(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    if "stable" in job:  # the edge's
        edge.LocalServer = FaultyServer  # type: ignore[misc]
        return edge_process.run(job, folder)
    fault = read_json(os.environ[VARIABLE]).get(job["digest"])
    if fault == "crash":
        sys.exit("this version ends before it answers")
    if fault:
        infer, spoil = Predictor.infer, FAULTS[fault]()
        Predictor.infer = lambda self, *a, **k: spoil(infer(self, *a, **k))  # type: ignore[method-assign]
    return local_server.run(job, folder)


if __name__ == "__main__":
    sys.exit(answer(_run, sys.argv[1:]))
