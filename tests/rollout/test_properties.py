"""What holds of every rollout, whatever is seen: drawn by Hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from secondread.config.rollout import EvidenceConfig, RolloutConfig, StageConfig
from secondread.rollout.analysis.decide import decide
from secondread.rollout.analysis.decision import Action, Decision
from secondread.rollout.analysis.observations import Observation, Side, Split
from secondread.rollout.analysis.state import RolloutState, stage_of
from secondread.rollout.analysis.triggers import triggers
from secondread.rollout.analysis.windows import in_order, judged, watched_seconds
from secondread.rollout.record.log import from_line, to_line
from tests.rollout.seen import MINUTE, side

LEAST = 300.0
# Short stages, so that a rollout of some dozen windows has them all.
QUICK = {"seconds_at_least": LEAST, "requests_at_least": 3000, "undecided_seconds": 1200.0, "deadline_seconds": 2400.0}
POLICY = RolloutConfig(
    stages=(
        StageConfig(
            "staging", checks=("load_test",), seconds_at_least=0.0, undecided_seconds=600.0, deadline_seconds=600.0
        ),
        StageConfig("shadow", mirror_percent=100, **QUICK),
        StageConfig("half", traffic_percent=50, **QUICK),
        StageConfig("full", traffic_percent=100, **QUICK),
    ),
    evidence=EvidenceConfig(settle_seconds=0.0),
)
ACTIONS_ONWARD = (Action.ADVANCE, Action.PROMOTE)

# Mostly a window in which all is well, so that rollouts get somewhere; at times one of all that can be wrong.
events = st.sampled_from(
    ["well"] * 12
    + ["nobody", "blind", "half-blind", "slow", "fails", "stuck", "leaks", "gone", "later", "back", "drifts"]
)


def seen(kind: str, number: int, stage: StageConfig, now: float, before: Observation | None) -> Observation:
    """A window that ends now, after the stage's traffic was split as it was asked, but for what goes wrong."""
    total = 0 if kind == "nobody" else 10_000
    canary, mirrored = total * stage.traffic_percent // 100, total * stage.mirror_percent // 100
    got = canary + mirrored
    wrong = {
        "slow": {"slow": got // 10},
        "fails": {"failed": got // 10},
        "drifts": {"drift": {"predictions_psi": 0.9, "confidence_psi": 0.9}},
        "half-blind": {"seconds": None},
    }
    observation = Observation(
        now - MINUTE,
        now,
        stable=side(total - canary, number=number),
        canary=side(got, number=number, **wrong.get(kind, {})),
        split=Split(float(total - canary), float(canary), float(mirrored)),
        checks={"load_test": True},
    )
    if kind == "blind":
        return Observation(now - MINUTE, now)
    if kind == "stuck" and before:
        return replace(before, start=now - MINUTE, end=now)
    if kind == "leaks":
        return replace(observation, split=Split(2000.0, 8000.0))
    return replace(observation, canary=Side(ready=False, requests={}), checks={}) if kind == "gone" else observation


def run(kinds: Sequence[str]) -> list[tuple[RolloutState, list[Observation], float, Decision]]:
    """A rollout, look by look: state before, what was seen so far, the clock, the decision."""
    state, now, observations = RolloutState.begun(0.0), 0.0, list[Observation]()
    taken = []
    for number, kind in enumerate(kinds):
        now += {"later": 4000.0, "back": -500.0}.get(kind, MINUTE)
        observations.append(
            seen(kind, number, stage_of(POLICY, state), now, observations[-1] if observations else None)
        )
        decision = decide(POLICY, state, observations, now)
        taken.append((state, list(observations), now, decision))
        state = state.after(decision, POLICY, now)
        if state.paused and number % 2:
            state = state.resume(now)
    return taken


def of_stage(state: RolloutState, observations: Sequence[Observation], now: float) -> list[Observation]:
    """What was seen in the stage, and not in the future, by a clock that was not set back since."""
    return [each for each in in_order(observations) if each.start >= state.since and each.end <= now]


rollouts = st.lists(events, min_size=20, max_size=60).map(run)


@settings(max_examples=60, deadline=None)
@given(rollouts)
def test_nothing_goes_on_without_enough_data_in_every_window_that_counts(
    rollout: list[tuple[RolloutState, list[Observation], float, Decision]],
) -> None:
    for state, observations, now, decision in rollout:
        stage = stage_of(POLICY, state)
        if decision.action in ACTIONS_ONWARD and stage.has_requests:
            windows = judged(of_stage(state, observations, now), stage, POLICY.evidence, since=state.since)
            assert windows[-1] is observations[-1]
            assert watched_seconds(windows) >= LEAST
            assert sum(each.canary.total or 0 for each in windows if each.canary) >= stage.requests_at_least
            for each in windows:
                assert each.start >= state.since
                assert each.canary
                assert each.canary.total
                assert not stage.has_both_sides or (each.stable and each.stable.total)


@settings(max_examples=60, deadline=None)
@given(rollouts)
def test_nothing_goes_on_while_a_limit_is_exceeded_or_a_person_has_paused_it(
    rollout: list[tuple[RolloutState, list[Observation], float, Decision]],
) -> None:
    for state, observations, now, decision in rollout:
        if decision.action in ACTIONS_ONWARD:
            new = of_stage(state, observations, now)
            windows = judged(new, stage_of(POLICY, state), POLICY.evidence, since=state.since)
            assert not triggers(POLICY, new, windows)
            assert not state.paused
        if state.paused or state.ended:
            assert decision.action is Action.HOLD


@settings(max_examples=60, deadline=None)
@given(rollouts)
def test_stages_are_taken_one_by_one(
    rollout: list[tuple[RolloutState, list[Observation], float, Decision]],
) -> None:
    stage, ended = 0, False
    for state, _, _, decision in rollout:
        assert state.stage == stage
        assert not ended or decision.action is Action.HOLD
        stage += decision.action is Action.ADVANCE
        assert decision.action is not Action.PROMOTE or stage == len(POLICY.stages) - 1
        ended = ended or decision.action in (Action.PROMOTE, Action.ROLL_BACK)


@settings(max_examples=30, deadline=None)
@given(st.lists(events, min_size=20, max_size=60))
def test_a_recorded_log_gives_the_same_decisions_again(kinds: list[str]) -> None:
    for state, observations, now, decision in run(kinds):
        replayed = [from_line(to_line(each), Observation) for each in observations]
        assert replayed == observations
        assert decide(POLICY, state, replayed, now) == decision


def test_the_rollouts_that_are_drawn_get_to_their_end() -> None:
    assert [decision.action for *_, decision in run(["well"] * 20) if decision.action is not Action.HOLD] == [
        *[Action.ADVANCE] * 3,
        Action.PROMOTE,
    ]
