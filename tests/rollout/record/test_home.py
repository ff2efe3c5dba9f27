"""Where rollouts are kept, and that a model has one at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from secondread.config.rollout import RolloutConfig
from secondread.errors import InputError
from secondread.rollout.record.home import Rollouts
from secondread.rollout.record.record import Kept, Plan, RolloutRecord, Word

PLAN = Plan("chest", 1, 2, RolloutConfig(), "Ada", "it reads effusions", 1_000_000.0)


def end(record: RolloutRecord) -> None:
    record.write(Kept(replace(record.read().state, ended="roll_back")))


def test_rollouts_of_a_model_are_numbered_and_the_newest_is_what_is_meant(tmp_path: Path) -> None:
    rollouts = Rollouts(tmp_path)
    for number in range(1, 12):
        record = rollouts.begin(PLAN)
        assert record.folder == tmp_path / "rollouts/chest" / str(number)
        end(record)
    assert [each.folder.name for each in rollouts.all("chest")] == [str(number) for number in range(1, 12)]
    assert rollouts.get("chest").folder.name == "11"
    assert rollouts.get("chest", 3).folder.name == "3"


def test_a_model_has_one_rollout_at_a_time_and_another_model_its_own(tmp_path: Path) -> None:
    rollouts = Rollouts(tmp_path)
    first = rollouts.begin(PLAN)
    with pytest.raises(InputError, match=r"rollout 1 of 'chest' has not ended \(version 2 beside 1\): promote it or"):
        rollouts.begin(PLAN)
    other = rollouts.begin(replace(PLAN, name="eye"))
    assert [each.folder for each in rollouts.running()] == [first.folder, other.folder]


def test_one_that_has_ended_runs_again_when_somebody_asks_for_something(tmp_path: Path) -> None:
    rollouts = Rollouts(tmp_path)
    record = rollouts.begin(PLAN)
    end(record)
    assert rollouts.running() == []
    record.say(Word("roll_back", "Grace", "both are wrong", to=1))
    assert [each.folder for each in rollouts.running()] == [record.folder]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    rollouts = Rollouts(tmp_path)
    with pytest.raises(InputError, match="there has been no rollout of 'chest': begin one"):
        rollouts.get("chest")
    rollouts.begin(PLAN)
    with pytest.raises(InputError, match="there is no rollout 7 of 'chest': the newest is 1"):
        rollouts.get("chest", 7)
