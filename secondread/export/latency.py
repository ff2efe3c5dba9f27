"""How long graphs take, side by side: in turns, so that whatever else the machine does hits all of them alike.

Source of the interval: order statistics, as in Conover 1999, "Practical Nonparametric Statistics", section 3.2.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from secondread.child import Child
from secondread.cpus import cpu_limit
from secondread.errors import InputError
from secondread.export.timing import IMAGES_FILE
from secondread.huge_pages import huge_pages
from secondread.logging import get_logger

_UNLIMITED_SECONDS = 1e9
_TAIL = 0.025  # of a two-sided interval of 95 %

log = get_logger(__name__)


@dataclass(frozen=True)
class Latency:
    """How long runs of one graph took.

    Attributes:
        p50_ms: median, in milliseconds.
        p99_ms: 99th percentile, in milliseconds; of fewer than 100 runs, close to the longest.
        runs: that were timed.
        p99_at_least_ms: lower bound of the 95 % interval of `p99_ms`: whether a machine stalled once or thrice during
            some hundred runs is chance.
    """

    p50_ms: float
    p99_ms: float
    runs: int
    p99_at_least_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Of some runs, at least one."""
        rising = 1_000 * np.sort(seconds)
        p50, p99 = (float(value) for value in np.percentile(rising, (50, 99)))
        # of the runs below the true P99 there are fewer than this in one case of forty
        rank = int(binom.ppf(_TAIL, len(rising), 0.99))
        # of a few runs the 99th percentile lies between the last two
        return cls(p50, p99, len(rising), min(p99, float(rising[max(0, rank - 1)])))


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
