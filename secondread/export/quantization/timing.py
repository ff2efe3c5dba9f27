"""Times graphs in a process of its own, started as a server is: see `time_graphs` in `quantization.latency`.

python -m secondread.export.quantization.timing FOLDER
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from secondread.child import answer
from secondread.model.session import INPUT, OUTPUTS

IMAGES_FILE = "images.npy"

_WARM_UP_RUNS = 1  # of each batch size: onnxruntime plans its memory on it
_LEAST_RUNS = 3


def run(job: Mapping[str, Any], folder: Path) -> dict[str, dict[str, list[float]]]:
    """Run every graph in turns, one batch size after another.

    Args:
        job: `graphs`, name to file; `batch_sizes`; `runs`, rounds; `seconds`, for each batch size; `threads`, of a run.
        folder: with the images, uint8 (images, 1, size, size).
    Returns:
        Graph to batch size to seconds of each run.
    """
    images = np.load(folder / IMAGES_FILE, allow_pickle=False)
    sessions = {name: _session(Path(path), job["threads"]) for name, path in job["graphs"].items()}
    found: dict[str, dict[str, list[float]]] = {name: {} for name in sessions}
    for size in job["batch_sizes"]:
        batch = np.ascontiguousarray(np.resize(images, (size, *images.shape[1:])))
        for name, times in in_turns(sessions, batch, runs=job["runs"], seconds=job["seconds"]).items():
            found[name][str(size)] = times
    return found


def in_turns(
    sessions: Mapping[str, onnxruntime.InferenceSession], batch: npt.NDArray[np.uint8], *, runs: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds of each run of each graph; a round begins with another graph each time.

    Args:
        sessions: graph to session.
        batch: uint8 (images, 1, size, size), what each run is given.
        runs: rounds.
        seconds: after which no further round is begun; some are taken in any case.
    """
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
    """A session as in serving."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # threads may spin while they wait for each other, but not when the run is over: it is another graph's turn
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main(arguments: list[str]) -> int:
    """Time the graphs of the folder that the one argument names."""
    return answer(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
