"""How a model is judged, and what it is held against: a reader, a room, a share of wrong closures."""

from __future__ import annotations

from dataclasses import dataclass, field

from secondread.config.require import require, require_seed
from secondread.config.risk_dial import RiskDialConfig
from secondread.config.second_reader import FirstReader, SecondReaderConfig
from secondread.config.selective import SelectiveConfig
from secondread.config.subgroups import SubgroupConfig
from secondread.config.workload import WorkloadConfig


@dataclass(frozen=True)
class EvaluateConfig:
    """How a model is evaluated."""

    batch_size: int = 32  # images a run of the graph; larger gains nothing on a CPU
    resamples: int = 1_000  # bootstrap draws; bounds then move by about 0.001 from seed to seed
    level: float = 0.95  # share of the draws inside an interval; the custom of the field
    seed: int = 0  # of the draws
    fixed_specificity: float = 0.9  # share: one false alarm in ten healthy, at which a class's sensitivity is told
    fixed_sensitivity: float = 0.9  # share: one miss in ten sick, at which a class's specificity is told
    # images, drawn by class, that are corrupted in ten ways and five strengths, and that behaviour tests are run on:
    # each costs some seventy runs of the graph; 0: neither is asked
    stress_images: int = 200
    strange_images: int = 100  # of each kind of other field, which the model should turn away; 0: not asked
    # folders, archives or URIs of images of other fields, each a kind of its own: what reaches a site by mistake
    other_fields: tuple[str, ...] = ()
    timed_runs: int = 200  # of one image; the 99th percentile is then that of two runs; 0: not timed
    shown_images: int = 12  # pictures in each of the report's two galleries; two rows on a desk, six on a phone
    # folder of films that a model once read wrongly, as `secondread.evaluation.stress.known_failures` reads it; empty:
    # none, since each site has its own. On a cluster it must be there in the pod
    known_failures: str = ""
    # YAML of behaviour tests, as `secondread.config.behaviour` reads it; empty: those that come with the library. On a
    # cluster it must be there in the pod
    behaviour: str = ""
    subgroups: SubgroupConfig = field(default_factory=SubgroupConfig)  # when a group is large enough to be compared
    selective: SelectiveConfig = field(default_factory=SelectiveConfig)  # from which confidence on it may answer
    risk_dial: RiskDialConfig = field(default_factory=RiskDialConfig)  # which share of wrong closures is accepted
    first_reader: FirstReader = field(default_factory=FirstReader)  # the physician that it reads after
    second_reader: SecondReaderConfig = field(default_factory=SecondReaderConfig)  # how much disease there is
    workload: WorkloadConfig = field(default_factory=WorkloadConfig)  # the reading room on paper

    def __post_init__(self) -> None:
        require_seed("seed", self.seed)
        require(self.batch_size > 0, f"batch_size must be above 0, not {self.batch_size}.")
        require(self.resamples >= 100, f"resamples must be at least 100 for a 95 % interval, not {self.resamples}.")
        require(0.5 <= self.level < 1, f"level must be in [0.5, 1), not {self.level}.")
        for name in ("fixed_specificity", "fixed_sensitivity"):
            require(0 < getattr(self, name) <= 1, f"{name} must be above 0 and at most 1, not {getattr(self, name)}.")
        for name in ("stress_images", "strange_images", "timed_runs", "shown_images"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, not {getattr(self, name)}.")
