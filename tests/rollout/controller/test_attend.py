"""Staying with a rollout: it is carried on where nobody else does, and left alone where somebody does."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from secondread.config.control import ControlConfig
from secondread.config.environment import Environment
from secondread.errors import DependencyError
from secondread.rollout.analysis.state import RolloutState
from secondread.rollout.controller import carry_on
from secondread.rollout.controller.attend import attend
from secondread.rollout.record.phases import Phase, passed
from secondread.rollout.record.record import Plan, RolloutRecord
from tests.rollout.controller.test_controller import BEGUN, POLICY, World, controller

CONFIG = ControlConfig(interval_seconds=60.0)


@dataclass
class Times:
    """A clock that pauses move on."""

    now: float = BEGUN + 1

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@dataclass
class Room:
    """Who carries the rollout on: the stand-in of `Carrier`, of which one at a time may look."""

    world: World
    taken: bool = False
    loses_it_at: float = float("inf")
    looked: list[float] = field(default_factory=list)
    inside: int = 0

    def __call__(self, config: ControlConfig, environment: Environment) -> Room:
        assert config is CONFIG
        assert environment == Environment.read()
        return self

    def __enter__(self) -> Room:
        self.inside += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.inside -= 1

    def look(self, record: RolloutRecord, now: float) -> RolloutState:
        if self.taken or now >= self.loses_it_at:
            raise DependencyError("another controller is at it.")
        if not self.looked or now - self.looked[-1] >= CONFIG.interval_seconds:
            self.looked.append(now)
            return controller(record, self.world).tick(now)
        return record.read().state


@pytest.fixture
def record(tmp_path: Path) -> RolloutRecord:
    return RolloutRecord.begin(tmp_path / "rollout", Plan("chest", 1, 2, POLICY, "Ada", "why not", BEGUN))


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    made = Room(World())
    monkeypatch.setattr(carry_on, "Carrier", made)
    return made


@pytest.fixture
def times() -> Times:
    return Times()


def stay(record: RolloutRecord, phase: Phase, times: Times) -> None:
    def over() -> bool:
        return passed(phase, record) is not None

    attend(record, over, config=CONFIG, environment=Environment.read(), clock=times, pause=times.pause)


def test_it_is_carried_on_until_what_was_waited_for_and_then_let_go(
    record: RolloutRecord, room: Room, times: Times
) -> None:
    stay(record, Phase.SHADOW, times)
    assert (passed(Phase.SHADOW, record), passed(Phase.CANARY, record)) == (True, None)
    assert (room.world.percent, room.inside) == (10, 0)
    stay(record, Phase.WHOLE, times)
    assert record.read().state.ended == "promote"


def test_what_has_happened_already_asks_nobody(record: RolloutRecord, room: Room, times: Times) -> None:
    stay(record, Phase.WHOLE, times)
    room.looked.clear()
    stay(record, Phase.WHOLE, times)
    assert room.looked == []


def test_whoever_carries_it_on_is_left_alone_and_asked_again_now_and_then(
    record: RolloutRecord, room: Room, times: Times, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.taken = True
    asked: list[float] = []

    def look(record: RolloutRecord, now: float) -> RolloutState:
        asked.append(now)
        return Room.look(room, record, now)

    def other(seconds: float) -> None:
        """Somebody else looks every minute while this process waits."""
        before = times.now
        Times.pause(times, seconds)
        if before // 60 != times.now // 60:
            controller(record, room.world).tick(times.now)

    monkeypatch.setattr(room, "look", look)
    monkeypatch.setattr(times, "pause", other)
    stay(record, Phase.WHOLE, times)
    assert record.read().state.ended == "promote"
    assert room.looked == []
    assert [round(b - a) for a, b in pairwise(asked)] == [60] * (len(asked) - 1)


def test_who_has_ended_is_followed(record: RolloutRecord, room: Room, times: Times) -> None:
    room.taken = True

    def ends_after_two_minutes(seconds: float) -> None:
        Times.pause(times, seconds)
        room.taken = times.now < BEGUN + 120

    attend(
        record,
        lambda: bool(record.read().state.ended),
        config=CONFIG,
        environment=Environment.read(),
        clock=times,
        pause=ends_after_two_minutes,
    )
    assert record.read().state.ended == "promote"
    assert 120 <= room.looked[0] - BEGUN <= 120 + CONFIG.interval_seconds


def test_where_nobody_does_and_this_process_cannot_one_line_says_so(
    record: RolloutRecord, room: Room, times: Times
) -> None:
    room.taken = True
    with pytest.raises(DependencyError, match=r"another controller is at it\. But nothing has happened for 6\d\d s"):
        stay(record, Phase.WHOLE, times)
    assert room.inside == 0


def test_who_loses_it_on_the_way_lets_go_and_waits(record: RolloutRecord, room: Room, times: Times) -> None:
    room.loses_it_at = BEGUN + 100
    with pytest.raises(DependencyError, match="another controller is at it"):
        stay(record, Phase.WHOLE, times)
    assert room.looked
    assert room.inside == 0
