"""A person's word: done at once, or the reason why it is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from secondread.config.control import ControlConfig
from secondread.config.environment import Environment
from secondread.errors import DependencyError, InputError
from secondread.rollout.analysis.state import RolloutState
from secondread.rollout.controller import ask as asking
from secondread.rollout.controller.ask import ask
from secondread.rollout.record.record import Plan, RolloutRecord, Word
from tests.rollout.controller.test_attend import Times
from tests.rollout.controller.test_controller import BEGUN, POLICY, World, controller, run

BACK = Word("roll_back", "Grace", "both are wrong")


@dataclass
class Room:
    """The stand-in of `Carrier`: one that looks, but for the looks at which somebody else does."""

    world: World
    taken: frozenset[int] = frozenset()
    made: int = 0
    looks: list[int] = field(default_factory=list)  # the carrier of each; 0: it was closed

    def __call__(self, config: ControlConfig, environment: Environment) -> Room:
        assert config.interval_seconds <= 1
        assert environment == Environment.read()
        self.made += 1
        return self

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self.looks.append(0)

    def look(self, record: RolloutRecord, now: float) -> RolloutState:
        self.looks.append(self.made)
        if len([each for each in self.looks if each]) in self.taken:
            raise DependencyError("another run is writing it.")
        return controller(record, self.world).tick(now)


@pytest.fixture
def record(tmp_path: Path) -> RolloutRecord:
    return RolloutRecord.begin(tmp_path / "1", Plan("chest", 1, 2, POLICY, "Ada", "why", BEGUN))


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    made = Room(World())
    monkeypatch.setattr(asking, "Carrier", made)
    return made


def say(record: RolloutRecord, word: Word, times: Times | None = None) -> list[str]:
    times = times or Times()
    events = ask(record, word, config=ControlConfig(), environment=Environment.read(), clock=times, pause=times.pause)
    return [f"{each.what}: {each.reason}" for each in events]


def test_it_is_done_here_where_nobody_carries_the_rollout_on(record: RolloutRecord, room: Room) -> None:
    assert say(record, BACK) == ["roll_back: Grace: both are wrong"]
    assert record.read().state.ended == "roll_back"
    assert room.looks == [1, 0]


def test_it_is_waited_for_where_somebody_else_does(record: RolloutRecord, room: Room) -> None:
    room.taken = frozenset(range(1, 1000))
    times = Times()

    def others(seconds: float) -> None:
        times.pause(seconds)
        if times.now > BEGUN + 30:
            controller(record, room.world).tick(times.now)

    events = ask(record, BACK, config=ControlConfig(), environment=Environment.read(), clock=times, pause=others)
    assert [each.what for each in events] == ["roll_back"]
    assert times.now < BEGUN + 32


def test_a_pause_waits_for_nothing_that_was_decided_before(record: RolloutRecord, room: Room) -> None:
    assert say(record, Word("pause", "Grace", "lunch")) == ["obeyed: pause, Grace: lunch"]
    assert record.read().state.paused == "Grace: lunch"


def test_what_cannot_be_done_is_said_with_the_reason(record: RolloutRecord, room: Room) -> None:
    room.world.refused = frozenset({2})
    with pytest.raises(InputError, match=r"^promote, Grace: it is plain: no gate has judged version 2\.$"):
        say(record, Word("promote", "Grace", "it is plain"))
    assert not record.read().state.ended


def test_what_fails_until_patience_ends_is_said_with_its_last_fault_and_stays_asked_for(
    record: RolloutRecord, room: Room
) -> None:
    """One carrier tries it as long as it works, so that whoever is told of an alarm is told once."""
    room.world.stuck, room.taken = True, frozenset({3})
    times = Times()
    with pytest.raises(DependencyError, match=r"'roll back' is kept .* after 60 s: Envoy does not answer\."):
        say(record, BACK, times)
    assert room.looks[:5] == [1, 1, 1, 0, 2]
    assert room.made == 2
    room.world.stuck = False
    assert controller(record, room.world).tick(times.now).ended == "roll_back"


def test_nothing_is_asked_of_a_rollout_that_has_ended(record: RolloutRecord, room: Room) -> None:
    room.world.failing = True
    run(record, room.world)
    with pytest.raises(InputError, match=r"rollout 1 of 'chest' has ended: there is nothing to promote\."):
        say(record, Word("promote", "Grace", "it is plain"))
    assert room.looks == []
