"""How long graphs take, side by side: in turns, so that whatever else the machine does hits all of them alike."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from secondread.cpus import cpu_limit
from secondread.errors import InputError
from secondread.model.session import INPUT, OUTPUTS
from secondread.progress import track

_WARM_UP_RUNS = 1  # of each batch size: onnxruntime plans its memory on it
_LEAST_RUNS = 3


@dataclass(frozen=True)
class Latency:
    """How long runs of one graph took.

    Attributes:
        p50_ms: median, in milliseconds.
        p99_ms: 99th percentile, in milliseconds; of fewer than 100 runs, close to the longest.
        runs: that were timed.
    """

    p50_ms: float
    p99_ms: float
    runs: int


def time_graphs(
    graphs: Mapping[str, Path],
    pixels: npt.NDArray[np.uint8],
    *,
    batch_sizes: Sequence[int],
    runs: int,
    seconds: float = math.inf,
    threads: int = 0,
) -> dict[str, dict[int, Latency]]:
    """How long a run of each graph takes.

    Each round runs every graph once, beginning with another graph each time; one batch size after another.

    Args:
        graphs: name to ONNX file.
        pixels: uint8 (images, 1, size, size), repeated where a batch is larger.
        batch_sizes: images a run.
        runs: rounds.
        seconds: for each batch size, after which no further round is begun; some are taken in any case.
        threads: of one run; 0: the CPUs of the container.
    Returns:
        Graph to batch size to times.
    Raises:
        InputError: no image.
    """
    if not len(pixels):
        raise InputError("there is no image to time a graph with.")
    sessions = {name: _session(path, threads) for name, path in graphs.items()}
    found: dict[str, dict[int, Latency]] = {name: {} for name in graphs}
    for size in track(batch_sizes, "timing graphs, by batch size", total=len(batch_sizes)):
        batch = np.ascontiguousarray(np.resize(pixels, (size, *pixels.shape[1:])))
        for name, times in _time(sessions, batch, runs=runs, seconds=seconds).items():
            p50, p99 = (1_000 * float(value) for value in np.percentile(times, (50, 99)))
            found[name][size] = Latency(p50, p99, len(times))
    return found


def _time(
    sessions: Mapping[str, onnxruntime.InferenceSession], batch: npt.NDArray[np.uint8], *, runs: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds of each run of each graph."""
    times: dict[str, list[float]] = {name: [] for name in sessions}
    names, begin = list(sessions), time.perf_counter()
    for round_number in range(-_WARM_UP_RUNS, runs):
        if round_number >= _LEAST_RUNS and time.perf_counter() - begin > seconds:
            break
        turn = round_number % len(names)
        for name in names[turn:] + names[:turn]:
            start = time.perf_counter()
            sessions[name].run(list(OUTPUTS), {INPUT: batch})
            if round_number >= 0:
                times[name].append(time.perf_counter() - start)
    return times


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session as in serving, but whose idle threads sleep: spinning, they would slow down the next graph's turn."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cpu_limit()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
