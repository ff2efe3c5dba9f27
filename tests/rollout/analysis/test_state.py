"""What a controller keeps: time that was watched, a person's pauses, and how it ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from secondread.rollout.analysis.decision import Action, Decision
from secondread.rollout.analysis.state import RolloutState
from tests.rollout.seen import POLICY, in_stage

HOLD = Decision(Action.HOLD, "")


def test_a_rollout_begins_in_the_first_stage() -> None:
    assert RolloutState.begun(5.0) == RolloutState(stage=0, since=5.0, seen=5.0)


def test_time_counts_as_it_is_watched() -> None:
    state = in_stage("canary").after(HOLD, POLICY, 60.0).after(HOLD, POLICY, 120.0)
    assert (state.seen, state.stage_seconds, state.watched_seconds) == (120.0, 120.0, 120.0)


@pytest.mark.parametrize(("now", "counts"), [(1e9, 180.0), (-1e9, 0.0), (60.0, 60.0)])
def test_a_clock_that_jumps_counts_no_more_than_the_age_of_an_observation(now: float, counts: float) -> None:
    state = in_stage("canary").after(HOLD, POLICY, now)
    assert (state.seen, state.stage_seconds) == (now, counts)


def test_a_pause_counts_for_nothing() -> None:
    paused = in_stage("canary").pause("by hand").after(HOLD, POLICY, 100.0)
    resumed = paused.resume(5000.0)
    assert (resumed.paused, resumed.stage_seconds, resumed.seen, resumed.resumed) == ("", 0.0, 5000.0, 5000.0)
    assert resumed.after(HOLD, POLICY, 5060.0).stage_seconds == 60.0


def test_a_pause_without_a_reason_is_a_pause() -> None:
    assert in_stage("canary").pause("").paused == "by hand"


def test_the_next_stage_begins_anew_and_the_rollout_does_not() -> None:
    state = replace(in_stage("canary"), stage_seconds=500.0, watched_seconds=900.0)
    after = state.after(Decision(Action.ADVANCE, ""), POLICY, 60.0)
    assert (after.stage, after.since, after.stage_seconds, after.watched_seconds) == (state.stage + 1, 60.0, 0.0, 960.0)


@pytest.mark.parametrize("action", [Action.PROMOTE, Action.ROLL_BACK])
def test_an_end_is_kept(action: Action) -> None:
    assert in_stage("full").after(Decision(action, ""), POLICY, 60.0).ended == action.value


def test_what_cannot_be_told_pauses_with_its_reason() -> None:
    assert in_stage("canary").after(Decision(Action.INCONCLUSIVE, "who knows"), POLICY, 60.0).paused == "who knows"
