"""How long graphs take, side by side: in turns, so that whatever else the machine does hits all of them alike.

Source of the interval: Politis & Romano 1992, "A circular block-resampling procedure for stationary data". Runs are
drawn in blocks, since what slows a run lasts: a host that has moved the CPUs far apart, for one (docs/quantization.md).
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
from secondread.export.quantization.timing import IMAGES_FILE
from secondread.huge_pages import huge_pages
from secondread.logging import get_logger

_UNLIMITED_SECONDS = 1e9
_TAIL = 2.5  # percent, of a two-sided interval of 95 %
_BLOCKS = 10  # of successive rounds, that a resample is made of
_RESAMPLES = 1_000

log = get_logger(__name__)


@dataclass(frozen=True)
class Latency:
    """How long runs of one graph took.

    Attributes:
        taken_ms: of each run, in milliseconds, in the order of the rounds; at least one.
    """

    taken_ms: tuple[float, ...]

    @property
    def runs(self) -> int:
        """That were timed."""
        return len(self.taken_ms)

    @property
    def p50_ms(self) -> float:
        """Median, in milliseconds."""
        return float(np.median(self.taken_ms))

    @property
    def p99_ms(self) -> float:
        """99th percentile, in milliseconds; of fewer than 100 runs, close to the longest."""
        return float(np.percentile(self.taken_ms, 99))

    def to_json(self) -> dict[str, float]:
        """In figures."""
        return {"p50_ms": self.p50_ms, "p99_ms": self.p99_ms, "runs": self.runs}


def fastest(times: Mapping[str, Latency]) -> str:
    """The graph with the lowest P99; of those whose P99 is no higher but by chance, the one with the lowest median.

    Chance is whether a machine was busy with something else for one second or for three while graphs were timed.

    Args:
        times: graph to times of one batch size, all of the same rounds; at least one.
    """
    first = min(times, key=lambda name: times[name].p99_ms)
    drawn = dict(zip(times, _p99_drawn(np.array([item.taken_ms for item in times.values()])), strict=True))
    as_low = [name for name in times if np.percentile(drawn[name] - drawn[first], _TAIL) <= 0]
    return min(as_low, key=lambda name: times[name].p50_ms)


def _p99_drawn(taken: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """99th percentiles of rounds drawn in blocks, the same ones for all graphs: (graphs, rounds) to (graphs, draws)."""
    rounds = taken.shape[1]
    length = math.ceil(rounds / _BLOCKS)
    starts = np.random.default_rng(0).integers(rounds, size=(_RESAMPLES, math.ceil(rounds / length), 1))
    drawn = (starts + np.arange(length)).reshape(_RESAMPLES, -1)[:, :rounds] % rounds
    return np.percentile(taken[:, drawn], 99, axis=2)


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
        child = Child("secondread.export.quantization.timing", job, folder, environment=huge_pages())
        try:
            found = child.result()
        finally:
            child.stop()
    return {
        name: {int(size): Latency(tuple(1_000 * taken for taken in times)) for size, times in found[name].items()}
        for name in graphs
    }
