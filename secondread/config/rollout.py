"""How a new version is let in, and what makes it leave: a `rollout.yaml`.

Seconds are those that were watched: what passes while nobody looks, or while a person has paused it, is not counted.
Points are percentage points. A share that is compared with the stable version's has two limits: proven to be more than
`_worse_points` worse, the version is rolled back; shown to be less than `_margin_points` worse, it may go on; between
them it may do either, so that a difference that nobody minds neither ends a rollout nor holds it up.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from secondread.config.require import require

CHECKS = ("load_test", "conformance")  # those that there are
_HOUR = 3600.0


@dataclass(frozen=True)
class StageConfig:
    """One stage: how much traffic the new version gets, and what it must show before it gets more."""

    name: str = ""  # unique among the stages
    traffic_percent: int = 0  # of requests that the new version answers; the stable one answers the others
    # Of requests that it is sent as well and whose answers are dropped: all, 100, or none. Only where it answers none.
    mirror_percent: int = 0
    checks: tuple[str, ...] = ()  # of CHECKS, what must have passed; none of traffic's stages needs one
    # Watched with enough data, at least: half an hour sees Triton, caches and garbage collection at their usual work.
    seconds_at_least: float = 1800.0
    # Of the new version, at least: with fewer, 1 point more failures than the stable version's cannot be ruled out.
    requests_at_least: int = 2000
    # With enough data and still not told apart, a person decides: a difference of a margin's size is theirs to judge.
    undecided_seconds: float = 4 * _HOUR
    deadline_seconds: float = 12 * _HOUR  # rolled back: what is stuck for half a day is not watched by anybody

    def __post_init__(self) -> None:
        require(bool(self.name.strip()), "name is empty: every stage has one, such as canary.")
        for name in ("traffic_percent", "mirror_percent"):
            percent = getattr(self, name)
            require(0 <= percent <= 100, f"{name} of stage {self.name} must be from 0 to 100, not {percent}.")
        whole = self.mirror_percent in (0, 100)
        most = "requests are mirrored all or none"
        require(whole, f"mirror_percent of stage {self.name} must be 0 or 100, not {self.mirror_percent}: {most}.")
        unknown = [name for name in self.checks if name not in CHECKS]
        known = f"there are {', '.join(CHECKS)}"
        require(not unknown, f"checks of stage {self.name} names {', '.join(unknown)}, which is none: {known}.")
        alone = not (self.traffic_percent and self.mirror_percent)
        require(alone, f"mirror_percent of stage {self.name} must be 0, since the stage answers traffic itself.")
        purpose = bool(self.traffic_percent or self.mirror_percent or self.checks)
        require(purpose, f"traffic_percent of stage {self.name} is 0: give it traffic, mirrored traffic or checks.")
        require(self.requests_at_least >= 1, f"requests_at_least of stage {self.name} must be above 0.")
        ordered = 0 <= self.seconds_at_least <= self.undecided_seconds <= self.deadline_seconds
        most = "above undecided_seconds, nor that above deadline_seconds"
        require(ordered, f"seconds_at_least of stage {self.name} must not be {most}.")

    @property
    def has_requests(self) -> bool:
        """Whether the new version gets any, answered or mirrored."""
        return bool(self.traffic_percent or self.mirror_percent)

    @property
    def has_both_sides(self) -> bool:
        """Whether both versions get requests, so that they can be compared."""
        return self.has_requests and self.traffic_percent < 100


STAGES = (
    StageConfig(
        "staging",
        checks=("load_test", "conformance"),
        seconds_at_least=0.0,
        undecided_seconds=_HOUR,
        deadline_seconds=_HOUR,
    ),
    StageConfig("shadow", mirror_percent=100),
    StageConfig("canary", traffic_percent=10),
    StageConfig("quarter", traffic_percent=25),
    StageConfig("half", traffic_percent=50),
    StageConfig("full", traffic_percent=100),
)


@dataclass(frozen=True)
class DriftLimit:
    """A drift statistic of the new version, and what is too much of it."""

    statistic: str = ""  # as the label `statistic` of `secondread_drift` names it
    above: float = 0.25  # exclusive, in the statistic's unit; of population stability, 0.25 is what is called a shift

    def __post_init__(self) -> None:
        require(bool(self.statistic), "statistic is empty: name one of secondread_drift, such as predictions_psi.")


@dataclass(frozen=True)
class TriggerConfig:
    """What the new version may not do, whatever the stable one does. None: not asked for."""

    latency_ms_above: float | None = 500.0  # milliseconds, exclusive; the seeds' rule. Best a bound of the histogram
    latency_share: float = 0.01  # of requests that may be slower; 0.01 makes it a rule for P99
    latency_seconds: float = 300.0  # for as long, without a better window between; the seeds' rule
    errors_above: float | None = 0.01  # share of requests, exclusive; the seeds' rule
    errors_seconds: float = 300.0  # for as long: what "sustained" means for latency
    drift: tuple[DriftLimit, ...] = (DriftLimit("predictions_psi"), DriftLimit("confidence_psi"))
    drift_seconds: float = 300.0  # for as long, likewise
    # Its p-value, at most, where that is known: of thirty images chance alone makes a population stability of 0.3.
    drift_chance: float = 0.01
    unready_seconds: float = 120.0  # not ready for as long; a model is loaded in seconds, an image pulled before
    restarts_above: int = 0  # of the new version's servers since it came, exclusive; one that ends itself is not well

    def __post_init__(self) -> None:
        slow = self.latency_ms_above
        holds = slow is None or (_is_number(slow) and slow > 0)
        require(holds, f"latency_ms_above must be above 0 or null, not {slow!r}.")
        require(0 < self.latency_share < 1, f"latency_share must be between 0 and 1, not {self.latency_share}.")
        errors = self.errors_above
        holds = errors is None or (_is_number(errors) and 0 < errors < 1)
        require(holds, f"errors_above must be between 0 and 1 or null, not {errors!r}.")
        require(0 < self.drift_chance <= 1, f"drift_chance must be above 0 and at most 1, not {self.drift_chance}.")
        for name in ("latency_seconds", "errors_seconds", "drift_seconds", "unready_seconds", "restarts_above"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, not {getattr(self, name)}.")


@dataclass(frozen=True)
class CompareConfig:
    """How much worse than the stable version, at the same time and of the same traffic. None: not compared."""

    errors_worse_points: float | None = 0.25  # requests that failed: 5xx, and those whose caller gave up (499)
    errors_margin_points: float = 1.0  # what the seeds allow altogether
    refused_worse_points: float | None = 1.0  # other 4xx: calling good films bad is failing, too
    refused_margin_points: float = 3.0
    # Requests slower than each bound of the histogram: a version 20 % slower moves some 10 points across one of them.
    latency_worse_points: float | None = 3.0
    latency_margin_points: float = 10.0
    tail_worse_points: float | None = 0.5  # the same beyond the stable version's P99: half as many slow requests again
    tail_margin_points: float = 2.0
    classes_worse_points: float | None = 5.0  # images of each class, more or fewer: nobody's patients change that fast
    classes_margin_points: float = 10.0
    confidence_worse_points: float | None = 5.0  # images above each bound of the histogram, more or fewer
    confidence_margin_points: float = 12.0
    outside_worse_points: float | None = 2.0  # images out of distribution, more or fewer
    outside_margin_points: float = 5.0
    disagreement_worse_points: float | None = 15.0  # mirrored images that the two read differently
    disagreement_margin_points: float = 20.0
    physicians_worse_points: float | None = 3.0  # readings that a physician did not share
    physicians_margin_points: float = 10.0
    # Of them, what must be known and within its margin to go on; of the others, nothing needs to be known.
    required: tuple[str, ...] = ("errors", "refused", "latency", "tail", "classes", "confidence", "outside")

    def __post_init__(self) -> None:
        for name in (
            each.name.removesuffix("_worse_points") for each in fields(self) if each.name.endswith("_worse_points")
        ):
            worse, margin = getattr(self, f"{name}_worse_points"), getattr(self, f"{name}_margin_points")
            holds = worse is None or (_is_number(worse) and 0 <= worse <= margin <= 100)
            limit = f"{name}_margin_points, {margin:g}"
            require(holds, f"{name}_worse_points must be null or from 0 to {limit}, not {worse!r}.")
        unknown = [name for name in self.required if getattr(self, f"{name}_worse_points", None) is None]
        require(not unknown, f"required names {', '.join(unknown)}, which is not compared.")


@dataclass(frozen=True)
class EvidenceConfig:
    """How sure it must be, and of which observations."""

    # Share of the rollouts of versions no worse than the stable one that may be rolled back by a comparison or a
    # trigger, at most: over all stages, figures and looks together. The promise of docs/rollout.md.
    false_rollback_share: float = 0.01
    # Share of the versions exactly as bad as a margin that may pass a stage, at most, over all looks: 95 %, as usual.
    wrong_advance_share: float = 0.05
    # Images that count as one, at least, since those of a patient are alike: a study has one film or two.
    images_alike: float = 2.0
    requests_alike: float = 1.0  # likewise of requests; what comes in bursts is found in the stable version's windows
    # Confidence of the bound on how alike times are within a window: neighbours and load act by the minute, and a few
    # minutes tell little of how much. At 0.99 a version twice as slow is seen two minutes later.
    times_alike_sure: float = 0.95
    settle_seconds: float = 60.0  # after a change of traffic: connections, caches and the first runs of a graph
    age_seconds: float = 180.0  # of the newest observation, at most: three of the controller's minutes
    window_requests_at_least: int = 1  # of each side that has traffic; a window with fewer is no time that was watched
    split_points: float = 3.0  # that the measured share of traffic may be off, beyond what chance explains
    split_seconds: float = 300.0  # over which it is measured; at 20 requests a second 6,000 of them

    def __post_init__(self) -> None:
        for name in ("false_rollback_share", "wrong_advance_share"):
            share = getattr(self, name)
            require(0 < share < 1, f"{name} must be between 0 and 1, not {share}.")
        require(
            0 < self.times_alike_sure < 1, f"times_alike_sure must be between 0 and 1, not {self.times_alike_sure}."
        )
        for name in ("images_alike", "requests_alike", "window_requests_at_least"):
            require(getattr(self, name) >= 1, f"{name} must be 1 or more, not {getattr(self, name)}.")
        for name in ("settle_seconds", "split_points"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, not {getattr(self, name)}.")
        for name in ("age_seconds", "split_seconds"):
            require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}.")


@dataclass(frozen=True)
class RolloutConfig:
    """The whole policy."""

    stages: tuple[StageConfig, ...] = STAGES  # in their order; the last one has all the traffic
    deadline_seconds: float = (
        48 * _HOUR
    )  # of the whole rollout, then it is rolled back; a good version needs three hours
    triggers: TriggerConfig = field(default_factory=TriggerConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)

    def __post_init__(self) -> None:
        require(bool(self.stages), "stages is empty: a version gets all the traffic in one stage at least.")
        names = [stage.name for stage in self.stages]
        require(len(set(names)) == len(names), f"stages has a name twice: {', '.join(names)}.")
        percents = [stage.traffic_percent for stage in self.stages]
        rising = percents == sorted(percents) and percents[-1] == 100
        require(rising, f"stages must not take traffic away and must end at 100 percent, not {percents}.")
        require(self.deadline_seconds > 0, "deadline_seconds must be above 0.")


def _is_number(value: object) -> bool:
    """What may be null is not checked for its type before."""
    return isinstance(value, int | float) and not isinstance(value, bool)
