"""What is shown of a rollout, whatever its policy calls its stages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from secondread.config.rollout import RolloutConfig, StageConfig
from secondread.rollout.analysis.observations import Observation, Side
from secondread.rollout.record.phases import Phase, decided, passed
from secondread.rollout.record.record import Plan, RolloutRecord
from tests.rollout.controller.test_controller import BEGUN, POLICY, TICK, World, controller, run

PARTS = [phase for phase in Phase if phase is not Phase.WHOLE]


def begin(folder: Path, policy: RolloutConfig = POLICY) -> RolloutRecord:
    return RolloutRecord.begin(folder / "rollout", Plan("chest", 1, 2, policy, "Ada", "it reads effusions", BEGUN))


def verdicts(record: RolloutRecord) -> list[bool | None]:
    return [passed(phase, record) for phase in PARTS]


def test_nothing_is_passed_before_the_first_look(tmp_path: Path) -> None:
    assert verdicts(begin(tmp_path)) == [None] * len(PARTS)


def test_one_phase_is_passed_after_the_other_and_stays_so(tmp_path: Path) -> None:
    record, world = begin(tmp_path), World()
    seen = []
    for number in range(1, 60):
        state = controller(record, world).tick(BEGUN + TICK * number)
        if verdicts(record) not in seen:
            seen.append(verdicts(record))
        if state.ended:
            break
    assert seen == [  # the stand-in's candidate is tested at the look that deploys it
        [True, True, None, None, None],
        [True, True, True, None, None],
        [True, True, True, True, None],
        [True] * len(PARTS),
    ]
    assert passed(Phase.WHOLE, record)


def test_a_candidate_that_answers_is_deployed_though_its_load_test_goes_on(tmp_path: Path) -> None:
    record = begin(tmp_path)
    record.saw(Observation(BEGUN, BEGUN + 1, canary=Side(ready=False)))
    assert passed(Phase.DEPLOY, record) is None
    record.saw(Observation(BEGUN + 1, BEGUN + 2, canary=Side(ready=True)))
    assert verdicts(record) == [True, None, None, None, None]


def test_what_was_passed_before_a_version_left_is_passed_and_the_rest_is_not(tmp_path: Path) -> None:
    record, world = begin(tmp_path), World()
    for number in range(1, 60):
        world.failing = passed(Phase.SHADOW, record) is True
        if controller(record, world).tick(BEGUN + TICK * number).ended:
            break
    assert verdicts(record) == [True, True, True, False, False]
    assert passed(Phase.WHOLE, record) is False


def test_a_candidate_that_never_answered_was_not_deployed(tmp_path: Path) -> None:
    record, world = begin(tmp_path), World(passes=False)
    assert run(record, world).ended == "roll_back"
    assert verdicts(record) == [False] * len(PARTS)


def test_a_phase_that_the_policy_leaves_out_is_passed_with_the_one_before(tmp_path: Path) -> None:
    stages = tuple(stage for stage in POLICY.stages if stage.name in ("staging", "full"))
    record, world = begin(tmp_path, replace(POLICY, stages=stages)), World()
    while passed(Phase.LOAD_TEST, record) is None:
        controller(record, world).tick(BEGUN + TICK * (1 + len(record.observations())))
    assert verdicts(record) == [True, True, True, True, None]


@pytest.mark.parametrize(
    ("phase", "what"),
    [
        (Phase.DEPLOY, "advance staging"),
        (Phase.LOAD_TEST, "advance staging"),
        (Phase.SHADOW, "advance shadow"),
        (Phase.CANARY, "advance canary"),
        (Phase.FULL, "promote full"),
        (Phase.WHOLE, "promote full"),
    ],
)
def test_the_decision_of_a_phase_is_its_own_however_late_one_asks(tmp_path: Path, phase: Phase, what: str) -> None:
    record = begin(tmp_path)
    assert decided(phase, record) is None
    run(record, World())
    event = decided(phase, record)
    assert event is not None
    assert f"{event.what} {event.stage}" == what


def test_stages_with_other_names_are_told_by_what_the_version_gets(tmp_path: Path) -> None:
    named = RolloutConfig(
        stages=(
            StageConfig("a", mirror_percent=100),
            StageConfig("b", checks=("load_test",)),  # after the mirrored one: both end with the first share
            StageConfig("c", traffic_percent=100),
        )
    )
    record = begin(tmp_path, named)
    kept = record.read()
    record.write(replace(kept, state=replace(kept.state, stage=2)))
    assert verdicts(record) == [True, True, True, True, None]
