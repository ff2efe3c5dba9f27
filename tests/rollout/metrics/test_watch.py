"""What is seen of both sides: figures by Prometheus, the rest by whoever splits the requests."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from secondread.config.observe import ObserveConfig
from secondread.config.rollout import RolloutConfig, StageConfig
from secondread.rollout.analysis import observations
from secondread.rollout.metrics.watch import Watch
from secondread.rollout.record.record import Plan
from secondread.rollout.splitters.envoy import Traffic
from secondread.rollout.splitters.envoy_admin import Requests
from secondread.rollout.splitters.splitter import Side, Split
from tests.rollout.conftest import END, Answers

PLAN = Plan("chest", 3, 4, RolloutConfig(), "Ada", "it reads effusions", END - 600)
STAGING, SHADOW, CANARY = RolloutConfig().stages[:3]


@dataclass
class Splitter:
    """Whoever splits the requests, as far as one who watches asks."""

    candidate: Side | None = field(default_factory=lambda: Side("/models/chest/4", ready=True))
    counted: list[Traffic] = field(default_factory=list)

    def read(self) -> Split:
        return Split(Side("/models/chest/3", ready=True), self.candidate, 10, mirrored=False)

    def traffic(self) -> Traffic:
        return self.counted.pop(0)


@pytest.fixture
def config(prometheus: Answers) -> ObserveConfig:
    return ObserveConfig(prometheus_url=prometheus.url)


def look(watch: Watch, stage: StageConfig = CANARY, *, start: float = END - 60) -> observations.Observation:
    return watch(PLAN, stage, start, start + 60)


def test_both_versions_are_asked_for_and_who_splits_says_who_is_ready(
    config: ObserveConfig, prometheus: Answers
) -> None:
    down = Side("/models/chest/4", ready=False, problem="it ran out of memory", restarts=2)
    seen = look(Watch(config, Splitter(down)))
    assert seen.stable
    assert seen.canary
    assert {part for query, _ in prometheus.asked for part in ("3", "4") if f'version="{part}"' in query} == {"3", "4"}
    assert seen.stable.requests == seen.canary.requests == {"200": 97.5, "503": 2.0}
    assert (seen.stable.ready, seen.stable.restarts, seen.stable.problem) == (True, None, "")  # what is not said
    assert (seen.canary.ready, seen.canary.restarts, seen.canary.problem) == (False, 2, "it ran out of memory")


def test_where_prometheus_is_gone_what_the_splitter_knows_is_still_seen(prometheus: Answers) -> None:
    prometheus.status = 503
    down = Side("/models/chest/4", ready=False, restarts=1)
    seen = look(Watch(ObserveConfig(prometheus_url=prometheus.url), Splitter(down)))
    assert seen.canary == observations.Side(ready=False, restarts=1)


def test_a_stage_without_requests_asks_nobody_for_figures(config: ObserveConfig, prometheus: Answers) -> None:
    assert look(Watch(config, Splitter()), STAGING).canary == observations.Side(ready=True, restarts=None)
    assert not prometheus.asked


def test_a_candidate_that_is_not_there_is_not_seen(config: ObserveConfig) -> None:
    assert look(Watch(config, Splitter(None))).canary is None


def test_the_split_is_what_was_counted_in_this_very_window(config: ObserveConfig) -> None:
    counted = [
        Traffic(Requests(sent=stable), Requests(sent=canary, mirrored=7))
        for stable, canary in ((100, 0), (190, 10), (280, 20), (370, 30))
    ]
    splitter = Splitter(counted=counted)
    watch = Watch(config, splitter, splitter.traffic)
    assert look(watch, start=0.0).split is None  # nothing was counted before
    assert look(watch, start=60.0).split == observations.Split(90, 10)
    assert look(watch, start=180.0).split is None  # a window later than the one before ended
    assert look(watch, start=240.0).split == observations.Split(90, 10)


def test_where_nobody_counts_the_versions_own_counts_are_the_split(config: ObserveConfig, prometheus: Answers) -> None:
    assert look(Watch(config, Splitter())).split == observations.Split(99.5, 99.5)
    prometheus.by_metric["requests_total"] = []
    assert look(Watch(config, Splitter())).split is None


def test_what_both_said_of_the_same_images_is_asked_for_where_requests_are_mirrored(config: ObserveConfig) -> None:
    asked: list[tuple[float, float]] = []

    def agreement(start: float, end: float) -> observations.Agreement:
        asked.append((start, end))
        return observations.Agreement(200, 7)

    watch = Watch(config, Splitter(), agreement=agreement)
    assert look(watch, SHADOW).shadow == observations.Agreement(200, 7)
    assert asked == [(END - 60, END)]
    assert look(watch, CANARY).shadow is None
    assert look(watch, STAGING).shadow is None
    assert look(Watch(config, Splitter()), SHADOW).shadow is None
