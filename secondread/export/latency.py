"""How long graphs take, side by side: in turns, so that whatever else the machine does hits all of them alike.

Source of the interval: Politis & Romano 1992, "A circular block-resampling procedure for stationary data". Runs are
drawn in blocks, since what slows a run lasts: another guest on the same core doubles every time for seconds.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from secondread.child import Child
from secondread.cpus import cpu_limit
from secondread.errors import InputError
from secondread.export.timing import IMAGES_FILE
from secondread.huge_pages import huge_pages
from secondread.logging import get_logger

_UNLIMITED_SECONDS = 1e9
_TAIL = 2.5  # percent, of a two-sided interval of 95 %
_BLOCKS = 10  # of successive runs, that a resample is made of
_RESAMPLES = 1_000

log = get_logger(__name__)


@dataclass(frozen=True)
class Latency:
    """How long runs of one graph took.

    Attributes:
        p50_ms: median, in milliseconds.
        p99_ms: 99th percentile, in milliseconds; of fewer than 100 runs, close to the longest.
        runs: that were timed.
        p99_at_least_ms: lower bound of the 95 % interval of `p99_ms`: whether a machine was busy with something else
            for one second or three is chance.
    """

    p50_ms: float
    p99_ms: float
    runs: int
    p99_at_least_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Of some runs in the order in which they were timed, at least one."""
        taken = 1_000 * np.asarray(seconds)
        p50, p99 = (float(value) for value in np.percentile(taken, (50, 99)))
        return cls(p50, p99, len(taken), min(p99, _at_least(taken)))


def _at_least(taken: npt.NDArray[np.float64]) -> float:
    """Lower bound of the 99th percentile of some runs, milliseconds, by drawing blocks of them."""
    length = math.ceil(len(taken) / _BLOCKS)
    starts = np.random.default_rng(0).integers(len(taken), size=(_RESAMPLES, math.ceil(len(taken) / length)))
    drawn = (starts[:, :, None] + np.arange(length)).reshape(_RESAMPLES, -1)[:, : len(taken)] % len(taken)
    return float(np.percentile(np.percentile(taken[drawn], 99, axis=1), _TAIL))


def fastest(times: Mapping[str, Latency]) -> str:
    """The graph with the lowest P99; of those whose P99 is no higher but by chance, the one with the lowest median.

    Args:
        times: graph to times of one batch size, at least one.
    """
    lowest = min(item.p99_ms for item in times.values())
    return min(
        (name for name, item in times.items() if item.p99_at_least_ms <= lowest), key=lambda name: times[name].p50_ms
    )


def time_graphs(
    graphs: Mapping[str, Path],
    pixels: npt.NDArray[np.uint8],
    *,
    batch_sizes: Sequence[int],
    runs: int,
    seconds: float = _UNLIMITED_SECONDS,
    threads: int = 0,
) -> dict[str, dict[int, Latency]]:
    """How long a run of each graph takes, in a process that is started as a server is.

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
    sizes = ", ".join(map(str, batch_sizes))
    log.info("timing %d graphs, batches of %s: at most %g s each", len(graphs), sizes, seconds)
    job = {
        "graphs": {name: str(path.resolve()) for name, path in graphs.items()},
        "batch_sizes": list(batch_sizes),
        "runs": runs,
        "seconds": seconds,
        "threads": threads or cpu_limit(),
    }
    with tempfile.TemporaryDirectory(prefix="secondread-timing-") as name:
        folder = Path(name)
        np.save(folder / IMAGES_FILE, pixels[: max(batch_sizes)], allow_pickle=False)
        child = Child("secondread.export.timing", job, folder, environment=huge_pages())
        try:
            found = child.result()
        finally:
            child.stop()
    return {name: {int(size): Latency.of(times) for size, times in found[name].items()} for name in graphs}
