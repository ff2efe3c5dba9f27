"""How long graphs take, side by side: timed in turns, so that whatever else the machine does hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from secondread.cpus import cpu_limit
from secondread.errors import InputError
from secondread.model.session import INPUT, OUTPUTS

_WARM_UP_RUNS = 3  # onnxruntime plans its memory on the first


def time_graphs(
    graphs: Mapping[str, Path],
    pixels: npt.NDArray[np.uint8],
    *,
    batch_sizes: Sequence[int],
    runs: int,
    threads: int = 0,
) -> dict[str, dict[int, float]]:
    """Median time of a run of each graph.

    Each round runs every graph once on every batch size, beginning with another graph each time.

    Args:
        graphs: name to ONNX file.
        pixels: uint8 (images, 1, size, size), repeated where a batch is larger.
        batch_sizes: images a run.
        runs: rounds.
        threads: of one run; 0: the CPUs of the container.
    Returns:
        Graph to batch size to milliseconds, the median (p50) of the rounds.
    Raises:
        InputError: no image.
    """
    if not len(pixels):
        raise InputError("there is no image to time a graph with.")
    sessions = {name: _session(path, threads) for name, path in graphs.items()}
    batches = {size: np.ascontiguousarray(np.resize(pixels, (size, *pixels.shape[1:]))) for size in batch_sizes}
    seconds: dict[str, dict[int, list[float]]] = {name: {size: [] for size in batch_sizes} for name in graphs}
    names = list(graphs)
    for round_number in range(-_WARM_UP_RUNS, runs):
        turn = round_number % len(names)
        for name in names[turn:] + names[:turn]:
            for size, batch in batches.items():
                start = time.perf_counter()
                sessions[name].run(list(OUTPUTS), {INPUT: batch})
                if round_number >= 0:
                    seconds[name][size].append(time.perf_counter() - start)
    return {
        name: {size: 1_000 * float(np.median(times)) for size, times in by_size.items()}
        for name, by_size in seconds.items()
    }


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session as in serving, but whose idle threads sleep: spinning, they would slow down the next graph's turn."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cpu_limit()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
