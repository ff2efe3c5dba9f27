"""How a graph becomes smaller and faster."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require, require_seed


@dataclass(frozen=True)
class QuantizeConfig:
    """How INT8 graphs are made, compared and chosen."""

    calibration_images: int = 256  # train images, as many of each class as there are; ranges settle by then
    accuracy_points: float = 0.5  # percentage points of val accuracy that a faster graph may cost
    latency_gain: float = 0.10  # share of fp32's latency that it must save, else the simpler graph stays
    batch_sizes: tuple[int, ...] = (1, 8)  # images a request, timed; the first decides: a physician waits for one
    timed_runs: int = 40  # runs of each graph and batch size, taken in turns; the median is kept
    threads: int = 0  # of each session; 0: the CPUs of the container
    seed: int = 0  # picks the calibration images

    def __post_init__(self) -> None:
        require_seed("seed", self.seed)
        require(self.calibration_images > 0, f"calibration_images must be above 0, not {self.calibration_images}.")
        require(self.accuracy_points >= 0, f"accuracy_points must not be negative, not {self.accuracy_points}.")
        require(0 <= self.latency_gain < 1, f"latency_gain must be in [0, 1), not {self.latency_gain}.")
        sizes = bool(self.batch_sizes) and all(size > 0 for size in self.batch_sizes)
        require(sizes, f"batch_sizes must be numbers above 0, not {self.batch_sizes}.")
        require(self.timed_runs > 0, f"timed_runs must be above 0, not {self.timed_runs}.")
        require(self.threads >= 0, f"threads must not be negative, not {self.threads}.")
