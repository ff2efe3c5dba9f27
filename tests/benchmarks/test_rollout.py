"""Simulated rollouts are real ones of simulated traffic: recorded times, patients, a split by chance."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rollout import BAD, INTERVAL, RATE, planned_seconds, simulate
from benchmarks.rollout_noise import recorded_seconds
from benchmarks.rollout_traffic import GOOD, Version, windows
from secondread.config.rollout import RolloutConfig
from secondread.rollout.analysis.decision import Action
from secondread.rollout.analysis.observations import Observation

POLICY = RolloutConfig()
CANARY = next(stage for stage in POLICY.stages if stage.name == "canary")


def first(new: Version, minutes: int, *, apart: bool = False) -> list[Observation]:
    made = windows(CANARY, new, rate=RATE, interval=INTERVAL, seed=(7,), apart=apart)
    return [next(made) for _ in range(minutes)]


def test_a_good_version_is_promoted_in_its_planned_time() -> None:
    ended = simulate(1, new=GOOD, policy=POLICY)
    assert (ended.action, ended.stage) == (Action.PROMOTE, "full")
    assert ended.seconds <= planned_seconds(POLICY)


@pytest.mark.parametrize(("fault", "says"), [("twice_p99", "slower than"), ("errors_5_percent", "that failed")])
def test_a_bad_version_is_rolled_back_for_what_is_wrong_with_it(fault: str, says: str) -> None:
    ended = simulate(1, new=BAD[fault], policy=POLICY, first="canary")
    assert (ended.action, ended.stage) == (Action.ROLL_BACK, "canary")
    assert says in ended.reason


def test_the_same_seed_is_the_same_rollout() -> None:
    assert simulate(3, new=BAD["twice_p99"], policy=POLICY) == simulate(3, new=BAD["twice_p99"], policy=POLICY)


def test_the_recording_is_of_a_server_and_not_of_a_formula() -> None:
    seconds = recorded_seconds()
    assert seconds.size > 10_000
    assert 0 < seconds.min() < np.median(seconds) < np.percentile(seconds, 99) < 0.5
    late = (seconds > 0.01).astype(float)
    by_minute = late[: late.size // 1000 * 1000].reshape(-1, 1000).mean(axis=1)
    assert by_minute.std() > 3 * np.sqrt(late.mean() * (1 - late.mean()) / 1000), "it has bad minutes"


def test_traffic_is_what_was_asked_for() -> None:
    seen = first(Version(slower=2.0, errors=0.05), 100)
    canary, stable = ([getattr(each, side) for each in seen] for side in ("canary", "stable"))
    requests, others = (sum(side.total for side in sides) for sides in (canary, stable))
    assert requests / (requests + others) == pytest.approx(0.1, abs=0.005)
    assert (requests + others) / (100 * INTERVAL) == pytest.approx(RATE, rel=0.02)
    assert sum(side.failed for side in canary) / requests == pytest.approx(0.05, abs=0.01)
    assert all(side.images == side.confidence.total == side.requests["200"] for side in canary)
    at = seen[0].canary.seconds.bounds.index(0.01) if seen[0].canary and seen[0].canary.seconds else 0
    slow, usual = (sum(side.seconds.above[at] for side in sides) for sides in (canary, stable))
    recorded = recorded_seconds()
    assert usual / others == pytest.approx((recorded > 0.01).mean(), abs=0.02)
    assert slow / requests == pytest.approx((recorded > 0.005).mean(), abs=0.02)


def test_versions_apart_have_bad_minutes_of_their_own() -> None:
    def together(*, apart: bool) -> float:
        shares = [
            [
                each.seconds.above[1] / each.total
                for each in (seen.canary, seen.stable)
                if each and each.seconds and each.total
            ]
            for seen in first(GOOD, 60, apart=apart)
        ]
        return float(np.corrcoef(np.transpose(shares))[0, 1])

    assert together(apart=False) > 0.7
    assert abs(together(apart=True)) < 0.6
