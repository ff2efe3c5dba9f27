"""What is decided, in the order in which it is asked: a person's word, the clock, deadlines, limits, what is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from secondread.config.rollout import RolloutConfig
from secondread.rollout.analysis.decision import Action
from secondread.rollout.analysis.observations import Histogram, Observation, Side, Split
from secondread.rollout.analysis.state import RolloutState
from tests.rollout.seen import BOUNDS, MINUTE, POLICY, changed, in_stage, look, looks, of_stage, side, window

CANARY = next(stage for stage in POLICY.stages if stage.name == "canary")
WELL = of_stage(CANARY, 40)


def test_a_good_version_goes_on_once_it_was_watched_for_half_an_hour() -> None:
    decisions = looks(WELL, state=in_stage("canary"))
    assert [each.action for each in decisions] == [Action.HOLD] * 30 + [Action.ADVANCE]
    assert not any(each.alarm for each in decisions)
    assert decisions[0].reason == "In stage canary the traffic settles, for 60 s."
    assert decisions[5].reason == "Stage canary goes on: 300 of 1800 s watched."
    assert decisions[-1].reason.startswith(
        "Stage canary is passed with 30,000 requests in 1,800 s: 0.00% requests that"
    )
    assert decisions[-1].figures["requests"] == 30_000


def test_the_last_stage_promotes_and_has_nobody_to_compare_with() -> None:
    full = POLICY.stages[-1]
    decision = looks(of_stage(full, 40), state=in_stage("full"))[-1]
    assert decision.action is Action.PROMOTE
    assert decision.reason == "Stage full is passed with 300,000 requests in 1,800 s: no limit was exceeded."


def test_every_stage_passes_for_a_good_version() -> None:
    for stage in POLICY.stages[1:]:
        last = looks(of_stage(stage, 40), state=in_stage(stage.name))[-1]
        assert last.action in (Action.ADVANCE, Action.PROMOTE), last.reason


@pytest.mark.parametrize(
    ("checks", "action", "says"),
    [
        ({}, Action.HOLD, "Stage staging goes on: load_test, conformance not done."),
        ({"load_test": True}, Action.HOLD, "Stage staging goes on: conformance not done."),
        ({"load_test": True, "conformance": False}, Action.ROLL_BACK, "In stage staging conformance failed."),
        ({"load_test": True, "conformance": True}, Action.ADVANCE, "Stage staging is passed: load_test, conformance."),
    ],
)
def test_staging_waits_for_its_checks(checks: dict[str, bool], action: Action, says: str) -> None:
    decision = look([Observation(0.0, MINUTE, checks=checks)], state=in_stage("staging"))
    assert (decision.action, decision.reason) == (action, says)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"requests": {"200": 950.0, "500": 50.0}}, "5.00% requests that failed beside 0.00% of the stable version's"),
        ({"requests": {"200": 950.0, "499": 50.0}}, "5.00% requests that failed"),
        ({"requests": {"200": 900.0, "400": 100.0}}, "10.00% requests that were refused beside 0.00%"),
        ({"predictions": {"cxr-normal": 300.0, "cxr-covid": 700.0}}, "70.00% images read as cxr-covid beside 29.99%"),
        ({"predictions": {"cxr-normal": 0.0, "cxr-covid": 0.0, "oct-cnv": 1000.0}}, "100.00% images read as oct-cnv"),
        ({"confidence": Histogram((0.5, 0.7, 0.9, 1.0), (0.0, 900.0, 100.0, 0.0, 0.0))}, "a confidence above 0.7"),
        ({"out_of_distribution": 200.0}, "20.00% images out of distribution beside 2.00%"),
        ({"seconds": Histogram(BOUNDS, (0.0, 900.0, 100.0, 0.0, 0.0, 0.0))}, "requests slower than 0.05 s"),
        ({"seconds": Histogram(BOUNDS, (870.0, 100.0, 0.0, 30.0, 0.0, 0.0))}, "beyond the stable version's P99"),
    ],
)
def test_a_version_that_is_worse_is_rolled_back_with_the_figures(wrong: dict[str, Any], says: str) -> None:
    bad = [
        changed(each, **wrong, drift={"predictions_psi": 0.01, "confidence_psi": number / 1e4})
        for number, each in enumerate(WELL)
    ]
    decisions = looks(bad, state=in_stage("canary"))
    assert decisions[-1].action is Action.ROLL_BACK
    assert decisions[-1].reason.startswith("In stage canary the new version is worse: ")
    assert says in decisions[-1].reason
    assert len(decisions) <= 10


def test_what_is_proven_beyond_its_limit_and_what_is_shown_within_its_margin_may_be_the_same_and_goes_out() -> None:
    policy = replace(POLICY, compare=replace(POLICY.compare, errors_worse_points=0.1, errors_margin_points=5.0))
    bad = [changed(each, requests={"200": 990.0, "500": 10.0}) for each in WELL]
    assert looks(bad, state=in_stage("canary"), policy=policy)[-1].action is Action.ROLL_BACK


@pytest.mark.parametrize(
    ("wrong", "minutes", "says"),
    [
        ({"slow": 20}, 6, "2.00% of the new version's requests were slower than 500 ms for 300 s"),
        ({"failed": 20}, 6, "2.00% of the new version's requests failed for 300 s"),
        (
            {"drift": {"predictions_psi": 0.3, "confidence_psi": 0.0}},
            5,
            "the new version's drift predictions_psi is 0.3, above 0.25",
        ),
        ({"ready": False}, 2, "the new version has not been ready for 120 s"),
        ({"restarts": 1.0}, 1, "servers of the new version restarted once, more than 0"),
    ],
)
def test_limits_of_its_own_end_a_version_even_with_all_the_traffic(
    wrong: dict[str, Any], minutes: int, says: str
) -> None:
    bad = [window(n, percent=100, canary=side(10_000, number=n, **_scaled(wrong))) for n in range(20)]
    decisions = looks(bad, state=in_stage("full"))
    assert decisions[-1].action is Action.ROLL_BACK
    assert says in decisions[-1].reason
    assert len(decisions) == minutes


def _scaled(wrong: dict[str, Any]) -> dict[str, Any]:
    return {name: value * 10 if name in ("slow", "failed") else value for name, value in wrong.items()}


@pytest.mark.parametrize("known", [True, False])
def test_a_stage_that_is_passed_says_where_restarts_are_not_known(known: bool) -> None:
    well = [changed(each, **({} if known else {"restarts": None})) for each in of_stage(POLICY.stages[-1], 60)]
    decision = looks(well, state=in_stage("full"))[-1]
    assert decision.action is Action.PROMOTE
    assert ("no limit was exceeded; restarts of its servers are not known" in decision.reason) is not known


def test_a_limit_that_is_not_exceeded_for_long_enough_holds() -> None:
    bad = [*of_stage(POLICY.stages[-1], 38), window(38, percent=100, canary=side(10_000, failed=200))]
    decision = look(bad, state=in_stage("full"))
    assert (decision.action, decision.alarm) == (Action.HOLD, False)
    assert "2.00% of the new version's requests failed for 60 s" in decision.reason


def test_a_handful_of_requests_is_too_few_for_a_limit() -> None:
    policy = replace(
        POLICY, compare=replace(POLICY.compare, required=(), errors_worse_points=None, refused_worse_points=None)
    )
    bad = [window(n, requests=100, canary=side(10, number=n, failed=1)) for n in range(6)]
    assert look(bad, policy=policy).action is Action.HOLD


def test_drift_of_both_versions_is_the_images_and_for_a_person() -> None:
    drift = {"predictions_psi": 0.3, "confidence_psi": 0.0}
    both = [
        window(n, stable=side(9000, number=n, drift=drift), canary=side(1000, number=n, drift=drift)) for n in range(9)
    ]
    decision = look(both)
    assert (decision.action, decision.alarm) == (Action.INCONCLUSIVE, True)
    assert decision.reason.endswith("and the stable version's too. A person decides.")


@pytest.mark.parametrize(
    ("last", "says"),
    [
        ({"canary": None, "stable": None, "split": None}, "nothing is known of the new version's requests"),
        ({"stable": None}, "nothing is known of the stable version's requests"),
        ({"canary": Side()}, "nothing is known of the new version's requests"),
        ({"canary": side(0)}, "the new version had 0 requests in the newest window"),
        ({"split": None}, "the split of the traffic is not known"),
        ({"canary": side(1000, number=1, seconds=None)}, "this is not known: latency, tail"),
        ({"stable": side(9000, number=1, predictions=None)}, "this is not known: classes, outside"),
        ({"canary": side(1000, number=1, drift=None)}, "this drift is not known: predictions_psi, confidence_psi"),
    ],
)
def test_what_is_not_known_holds_with_an_alarm(last: dict[str, Any], says: str) -> None:
    decision = look([*WELL[:39], window(39, **last)])
    assert (decision.action, decision.alarm) == (Action.HOLD, True)
    assert says in decision.reason


def test_nothing_seen_and_nothing_new_hold_with_an_alarm() -> None:
    for observations in ([], WELL):
        decision = look(observations, now=(len(observations) + 5) * MINUTE)
        assert (decision.action, decision.alarm) == (Action.HOLD, True)
        assert "the newest observation is 300 s old, more than 180 s" in decision.reason


def test_a_series_that_does_not_change_never_passes() -> None:
    stuck = [replace(WELL[0], start=n * MINUTE, end=(n + 1) * MINUTE) for n in range(100)]
    decisions = looks(stuck, state=in_stage("canary"))
    assert len(decisions) == 100
    assert decisions[-1].alarm
    assert "says the same as the one before" in decisions[-1].reason


def test_an_empty_series_never_passes_and_ends_at_the_deadline() -> None:
    empty = [window(n, requests=0) for n in range(1000)]
    decisions = looks(empty, state=in_stage("canary"))
    assert {each.action for each in decisions[:-1]} == {Action.HOLD}
    assert decisions[-1].action is Action.ROLL_BACK
    assert decisions[-1].reason == "Stage canary did not end within 43200 s."
    assert len(decisions) == 720


def test_the_whole_rollout_has_a_deadline_too() -> None:
    state = replace(in_stage("canary"), watched_seconds=POLICY.deadline_seconds - 30)
    decision = look(WELL[:1], state=state)
    assert decision.action is Action.ROLL_BACK
    assert "the rollout has taken 172800 s" in decision.reason


@pytest.mark.parametrize(
    ("split", "says"),
    [
        (Split(4000.0, 6000.0), "the new version answers 60.0% of"),
        (Split(10000.0, 0.0), "the new version answers 0.0% of"),
        (Split(9000.0, 1000.0, 9000.0), "90.0% of"),
    ],
)
def test_a_split_that_is_not_what_was_asked_for_is_not_judged(split: Split, says: str) -> None:
    bad = [replace(changed(each, requests={"200": 800.0, "500": 200.0}), split=split) for each in WELL[:5]]
    decision = look(bad)
    assert (decision.action, decision.alarm) == (Action.HOLD, True)
    assert says in decision.reason


def test_a_limit_of_its_own_ends_a_version_whose_split_is_wrong() -> None:
    bad = [replace(changed(each, requests={"200": 800.0, "500": 200.0}), split=Split(4e3, 6e3)) for each in WELL[:6]]
    assert look(bad).action is Action.ROLL_BACK


def test_chance_is_no_wrong_split() -> None:
    few = [window(n, requests=100, split=Split(86.0, 14.0)) for n in range(2)]
    assert "answers" not in look(few).reason


def test_what_cannot_be_told_apart_is_for_a_person_in_the_end() -> None:
    near = [changed(each, requests={"200": 994.0, "500": 6.0}) for each in of_stage(CANARY, 300)]
    policy = replace(POLICY, compare=replace(POLICY.compare, errors_worse_points=0.55, errors_margin_points=0.65))
    decisions = looks(near, state=in_stage("canary"), policy=policy)
    assert decisions[-1].action is Action.INCONCLUSIVE
    assert len(decisions) == 241
    assert "it cannot be told whether the new version is worse: 0.60% requests that failed" in decisions[-1].reason
    state = in_stage("canary").after(decisions[-1], policy, near[240].end)
    assert look(near, state=state, policy=policy).action is Action.HOLD
    resumed = state.resume(near[240].end)
    assert look(near[:242], state=resumed, policy=policy).action is Action.HOLD


def test_a_paused_rollout_holds_whatever_is_seen() -> None:
    bad = [changed(each, requests={"500": 1000.0}, ready=False, restarts=9.0) for each in WELL]
    decision = look(bad, state=in_stage("canary").pause("the PACS is serviced"))
    assert (decision.action, decision.reason) == (Action.HOLD, "Paused in stage canary: the PACS is serviced")


def test_an_ended_rollout_holds() -> None:
    state = replace(in_stage("full"), ended="promote")
    assert look(WELL, state=state).reason == "The rollout has ended: promote."


def test_a_clock_that_went_back_holds_and_what_it_saw_in_the_future_does_not_count() -> None:
    state = replace(in_stage("canary"), seen=WELL[34].end)
    decision = look(WELL, state=state, now=WELL[4].end)
    assert (decision.action, decision.alarm) == (Action.HOLD, True)
    assert decision.reason == "The clock went back by 1800 s."
    after = state.after(decision, POLICY, WELL[4].end)
    again = look(WELL, state=after, now=WELL[5].end)
    assert again.reason == "Stage canary goes on: 300 of 1800 s watched."


def test_a_clock_that_jumps_on_does_not_reach_a_deadline() -> None:
    state = replace(in_stage("canary"), seen=WELL[4].end)
    decision = look(WELL[:5], state=state, now=1e9)
    assert (decision.action, decision.alarm) == (Action.HOLD, True)
    assert state.after(decision, POLICY, 1e9).stage_seconds == POLICY.evidence.age_seconds


def test_windows_of_the_stage_before_do_not_count() -> None:
    state = RolloutState(2, since=20 * MINUTE, seen=20 * MINUTE)
    assert look(WELL[:30], state=state).reason == "Stage canary goes on: 540 of 1800 s watched."


def test_windows_that_overlap_are_counted_once() -> None:
    doubled = [each for one in WELL for each in (one, replace(one, start=one.start + 1))]
    assert look(doubled).figures["requests"] == look(WELL).figures["requests"] == 39_000


def test_what_need_not_be_known_may_be_unknown() -> None:
    policy = RolloutConfig(triggers=replace(POLICY.triggers, drift=()))
    unknown = [changed(each, drift=None) for each in WELL]
    assert looks(unknown, state=in_stage("canary", policy), policy=policy)[-1].action is Action.ADVANCE
