"""How a graph becomes smaller and faster."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require, require_seed

TARGETS = ("cpu", "gpu")


@dataclass(frozen=True)
class QuantizeConfig:
    """How faster graphs are made, compared and chosen."""

    target: str = "cpu"  # what the chosen graph is served on, cpu or gpu: `config.json` names the one for it
    calibration_images: int = 256  # train images, as many of each class as there are; ranges settle by then
    percentile: float = 99.99  # % of an activation's values, the most usual, that the percentile ranges keep
    accuracy_points: float = 0.5  # percentage points of val accuracy that a faster graph may cost
    calibration_error: float = 0.01  # by which its expected calibration error on val may be above fp32's
    agreement: float = 0.99  # share of val images that it must call as fp32 does
    # share of val images that it may turn away where fp32 does not, or the other way round: one in three of those that
    # are turned away, while static INT8 changes 0 to 1.6 % on chest films
    turned_away_changed: float = 0.02
    # largest change of a probability by the images that are answered in the same batch, on a server those of strangers:
    # rounding moves it by a millionth, ranges that are measured in every run by a hundredth
    batch_dependence: float = 0.0001
    # mean change of a probability on calibration images from which sensitive layers are left in float: a network gets
    # what it was trained on right even then, and about one other image in a hundred gets another class
    probability_change: float = 0.002
    latency_gain: float = 0.10  # share of fp32's time (median) that it must save, else the simpler graph stays
    batch_sizes: tuple[int, ...] = (1, 8, 32)  # images a request, timed; the first decides: a physician waits for one
    timed_runs: int = 200  # runs of each graph and batch size, taken in turns: two lie above the P99
    timing_seconds: float = 10.0  # for each batch size, after which no further turn is begun; three are always taken
    threads: int = 0  # of each session; 0: the CPUs of the container
    seed: int = 0  # picks the calibration images

    def __post_init__(self) -> None:
        require_seed("seed", self.seed)
        require(self.target in TARGETS, f"target must be {' or '.join(TARGETS)}, not '{self.target}'.")
        require(self.calibration_images > 0, f"calibration_images must be above 0, not {self.calibration_images}.")
        require(50 < self.percentile <= 100, f"percentile must be above 50 and at most 100, not {self.percentile}.")
        for name in ("accuracy_points", "calibration_error", "probability_change", "batch_dependence"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, not {getattr(self, name)}.")
        for name in ("agreement", "turned_away_changed"):
            require(0 <= getattr(self, name) <= 1, f"{name} must be from 0 to 1, not {getattr(self, name)}.")
        require(0 <= self.latency_gain < 1, f"latency_gain must be in [0, 1), not {self.latency_gain}.")
        sizes = bool(self.batch_sizes) and all(size > 0 for size in self.batch_sizes)
        require(sizes, f"batch_sizes must be numbers above 0, not {self.batch_sizes}.")
        require(self.timed_runs > 0, f"timed_runs must be above 0, not {self.timed_runs}.")
        require(self.timing_seconds > 0, f"timing_seconds must be above 0, not {self.timing_seconds}.")
        require(self.threads >= 0, f"threads must not be negative, not {self.threads}.")
