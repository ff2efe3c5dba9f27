"""A reading room on paper."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require


@dataclass(frozen=True)
class WorkloadConfig:
    """A reading room: who reads, how fast, and what comes in. All are assumptions; measure your own."""

    arrivals_per_hour: float = 40.0  # studies an hour, at random times; the films of one busy hospital
    urgent_share: float = 0.10  # of the studies, in [0, 1]; test sets hold far more, where an order says nothing
    physicians: int = 2  # who read at the same time; the fewest among whom there is a second one
    # minutes a reading with its report takes, on average, each of random (exponential) length; 2 to 2.5 were reckoned
    # for films in doi:10.1117/12.938177, and at 2 the two physicians are busy for two thirds of their time
    minutes_per_study: float = 2.0
    correct_share: float = 0.90  # of the studies that a physician reads right, in [0, 1]; as FirstReader's sensitivity
    answer_ms: float = 300.0  # milliseconds from a study's arrival to the second reader's answer; the seeds' limit
    within_minutes: float = 1.0  # minutes from arrival in which a right reading counts; the seeds' metric
    hours: float = 8.0  # of arrivals in a day; one shift
    days: int = 200  # simulated, each from other patients of the test set; the shares then move by about 0.01

    def __post_init__(self) -> None:
        for name in ("arrivals_per_hour", "minutes_per_study", "within_minutes", "hours"):
            value = getattr(self, name)
            require(value > 0, f"{name} must be above 0, not {value}.")
        for name in ("urgent_share", "correct_share"):
            share = getattr(self, name)
            require(0 <= share <= 1, f"{name} must be a share from 0 to 1, not {share}.")
        require(self.physicians >= 1, f"physicians must be at least 1, not {self.physicians}.")
        require(self.answer_ms >= 0, f"answer_ms must not be negative, not {self.answer_ms}.")
        require(self.days >= 100, f"days must be at least 100 for a 95 % interval, not {self.days}.")
