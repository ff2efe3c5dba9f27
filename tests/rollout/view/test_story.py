"""What happened in a rollout, in words that are true of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from secondread.rollout.record.record import Event, Kept, RolloutRecord, Word
from secondread.rollout.view.story import Story
from tests.rollout.controller.test_controller import BEGUN, TICK
from tests.rollout.view.conftest import Run, Watched


def test_a_version_that_was_promoted_took_the_place_of_the_stable_one(carried: Run) -> None:
    said = Story.of(carried()).sentence()
    assert (
        said == "Version 2 of chest took the place of version 1: since 1970-01-12 13:53 UTC it answers every request."
    )


def test_a_version_that_was_rolled_back_left_all_as_it_was(carried: Run, world: Watched) -> None:
    world.canary = {"failed": 1000}
    said = Story.of(carried()).sentence()
    assert said == "Version 2 of chest was taken out after 2 min: version 1 answers every request, as before."


def test_where_a_person_went_back_to_an_earlier_version_that_one_answers(carried: Run) -> None:
    carried(4).say(Word("roll_back", "Grace", "both are wrong", to=7))
    assert Story.of(carried(1, first=5)).sentence().endswith("after 5 min: version 7 answers every request.")


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (0, "in stage staging it is checked, and answers nobody."),
        (2, "in stage shadow it gets a copy of 100 % of the requests, and its answers go to nobody."),
        (4, "in stage canary it answers 10 % of the requests."),
    ],
)
def test_while_it_runs_it_is_said_what_the_new_version_gets(carried: Run, minutes: int, said: str) -> None:
    assert Story.of(carried(minutes)).sentence() == f"Version 2 of chest is tried beside version 1: {said}"


def test_one_that_is_paused_waits_for_a_person(carried: Run) -> None:
    carried(4).say(Word("pause", "Grace", "lunch"))
    assert Story.of(carried(1, first=5)).sentence().endswith("; that stays so until a person decides.")


def test_each_stage_has_its_time(carried: Run) -> None:
    stays = [(each.stage.name, each.start - BEGUN, each.end - BEGUN) for each in Story.of(carried()).stays()]
    assert stays == [("staging", 0, 60), ("shadow", 60, 180), ("canary", 180, 300), ("full", 300, 420)]


def test_an_event_that_was_told_twice_begins_its_stage_once(carried: Run) -> None:
    record = carried(2)
    record.tell(next(each for each in record.events() if each.what == "advance"))  # by a controller that was killed
    assert [each.stage.name for each in Story.of(record).stays()] == ["staging", "shadow"]


def test_looks_that_change_nothing_and_alarms_that_say_the_same_are_one_each(record: RolloutRecord) -> None:
    quiet = Event(BEGUN, "hold", "canary", "Stage canary goes on: 60 of 1800 s watched.")
    alarm = Event(BEGUN, "hold", "canary", "the newest observation is 240 s old.", alarm=True)
    for event in (
        quiet,
        replace(quiet, reason="In stage canary the traffic settles, for 60 s."),
        alarm,
        replace(alarm, reason="the newest observation is 300 s old.", at=BEGUN + TICK),
        replace(alarm, reason="nothing is known of the new version's requests."),
        replace(alarm, stage="half"),
    ):
        record.tell(event)
    episodes = Story.of(record).episodes()
    assert [each.count for each in episodes] == [2, 2, 1, 1]
    assert (episodes[1].first.at, episodes[1].last.at) == (BEGUN, BEGUN + TICK)
    assert [each.quiet for each in episodes] == [True, False, False, False]


def test_mirrored_requests_are_nobodys_answer(carried: Run) -> None:
    answered = Story.of(carried()).answered()
    assert (answered.new, answered.total, answered.failed) == (2 * 1000 + 2 * 10_000, 6 * 10_000, 0)
    assert answered.counted
    assert answered.failed_counted


def test_what_was_answered_while_nobody_looked_is_not_taken_for_none(carried: Run, world: Watched) -> None:
    world.dark = (4,)
    answered = Story.of(carried()).answered()
    assert not answered.counted
    assert not answered.failed_counted


def test_a_time_has_its_day_where_a_rollout_takes_several(carried: Run) -> None:
    record = carried(2)
    assert Story.of(record).when(BEGUN) == "13:46:40"
    record.write(Kept(replace(record.read().state, seen=BEGUN + 86_400)))
    assert Story.of(record).when(BEGUN) == "1970-01-12 13:46:40"
