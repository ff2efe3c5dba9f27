"""One tick after the other: what was decided is done, once, whatever ends the controller in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest

from secondread.config.rollout import CompareConfig, EvidenceConfig, RolloutConfig, StageConfig, TriggerConfig
from secondread.errors import DependencyError, GateRefused, InputError, StoppedError
from secondread.rollout.analysis.observations import Observation, Side, Split
from secondread.rollout.analysis.state import RolloutState
from secondread.rollout.controller.controller import Checked, Controller
from secondread.rollout.record.record import Event, Plan, RolloutRecord, Word
from secondread.rollout.splitters import splitter
from secondread.rollout.splitters.splitter import Done
from secondread.tracking.registry import RegisteredVersion

QUICK: dict[str, Any] = {"seconds_at_least": 120.0, "requests_at_least": 100, "undecided_seconds": 600.0}
POLICY = RolloutConfig(
    stages=(
        StageConfig("staging", checks=("load_test",), seconds_at_least=0, undecided_seconds=600, deadline_seconds=600),
        StageConfig("shadow", mirror_percent=100, **QUICK),
        StageConfig("canary", traffic_percent=10, **QUICK),
        StageConfig("full", traffic_percent=100, **QUICK),
    ),
    triggers=TriggerConfig(drift=()),
    compare=CompareConfig(required=("errors",)),
    evidence=EvidenceConfig(settle_seconds=0.0),
)
BEGUN = 1_000_000.0
TICK = 60.0


class KilledError(BaseException):
    """The controller ends here."""


def version(number: int) -> RegisteredVersion:
    digest = f"{number:064x}"
    return RegisteredVersion("chest", number, digest, f"/models/chest/{digest}", "", "")


@dataclass
class World:
    """All that is outside of the controller: who has which share, who is champion; and when the controller dies."""

    mirrors: ClassVar[bool] = True
    most_percent: ClassVar[int] = 100
    stable: int = 1
    candidate: int | None = None
    percent: int = 0
    mirrored: bool = False
    champion: int = 1
    deeds: list[str] = field(default_factory=list)
    dies_at: int = 0  # at which deed; 0: never
    dies_before: bool = False  # it is done
    down: bool = False  # what splits the requests does not answer
    taken_at: str = ""  # at which deed another controller takes over; empty: at none
    no_registry: bool = False  # the registry does not answer
    failing: bool = False  # the candidate fails every tenth request
    passes: bool = True  # the load test
    refused: frozenset[int] = frozenset()  # versions that may not be champion
    dead: bool = False  # the candidate is not ready
    stuck: bool = False  # what splits the requests does nothing that it is told
    no_aliases: bool = False  # the registry can be read, and not be changed
    no_gateway: bool = False  # a candidate cannot be deployed here
    by: str = ""  # who made the champion one
    starts: int = 0  # looks at which a version is not ready to be promoted yet, once it is deployed
    mine: bool = True  # no other controller acts

    def may_act(self) -> None:
        if not self.mine:
            raise StoppedError("somebody else holds the lease.")

    def do(self, what: str, deed: Callable[[], None]) -> Done:
        if self.down or self.stuck:
            raise DependencyError("Envoy does not answer.")
        self.deeds.append(what)
        self.mine = self.mine and what != self.taken_at
        dies = len(self.deeds) == self.dies_at
        if dies and self.dies_before:
            raise KilledError
        deed()
        if dies:
            raise KilledError
        return Done(True, what)

    # as a splitter

    def read(self) -> splitter.Split:
        if self.down:
            raise DependencyError("Envoy does not answer.")
        tried = None if self.candidate is None else replace(self._side(self.candidate), ready=not self.dead)
        return splitter.Split(self._side(self.stable), tried, self.percent, self.mirrored)

    def _side(self, number: int) -> splitter.Side:
        return splitter.Side(version(number).storage_uri, ready=True)

    def deploy(self, candidate: RegisteredVersion) -> Done:
        if self.no_gateway:
            raise InputError("this cluster has no Gateway API.")
        return self.do(f"deploy {candidate.version}", lambda: self._set(candidate=candidate.version))

    def set_split(self, candidate_percent: int, *, mirrored: bool = False) -> Done:
        what = f"{candidate_percent} %{' mirrored' if mirrored else ''}"
        if self.dead and candidate_percent > self.percent:
            raise DependencyError("the candidate is not ready yet: ask again when it is.")
        return self.do(what, lambda: self._set(percent=candidate_percent, mirrored=mirrored))

    def promote(self, candidate: RegisteredVersion) -> Done:
        new = candidate.version
        if self.dead and self.candidate == new:
            raise DependencyError(f"version {new} is not ready yet: ask again when it is.")
        if self.starts and self.candidate == new:
            self.starts -= 1
            raise DependencyError(f"version {new} is not ready yet: ask again when it is.")
        return self.do(f"stable {new}", lambda: self._set(stable=new, candidate=None, percent=0, mirrored=False))

    def remove(self) -> Done:
        return self.do("remove", lambda: self._set(candidate=None, percent=0, mirrored=False))

    def _set(self, **changes: Any) -> None:
        vars(self).update(changes)

    # as a registry

    def version(self, name: str, number: int) -> RegisteredVersion:
        assert name == "chest"
        if self.no_registry:
            raise DependencyError("the registry does not answer.")
        return version(number)

    def check(self, name: str, number: int) -> None:
        assert name == "chest"
        if number in self.refused:
            raise GateRefused(f"no gate has judged version {number}.")

    def promoted(self, name: str, number: int, *, actor: str, reason: str) -> None:
        self.check(name, number)
        if self.no_aliases:
            raise DependencyError("the registry does not answer.")
        self.by = actor
        assert name == "chest" and actor and reason  # noqa: PT018
        self.do(f"champion {number}", lambda: self._set(champion=number))

    def rolled_back(self, name: str, number: int, *, actor: str, reason: str) -> None:
        assert name == "chest" and actor and reason  # noqa: PT018
        self.do(f"champion {number} again", lambda: self._set(champion=number))

    # as what is observed

    def observe(self, plan: Plan, stage: StageConfig, start: float, end: float) -> Observation:
        assert plan.name == "chest"
        if not stage.has_requests:
            return Observation(start, end)
        everything = 10_000.0 + end % 7  # no window says the same as the one before
        share = stage.traffic_percent / 100
        asked = everything if stage.mirror_percent else everything * share
        failed = asked / 10 if self.failing else 0.0
        new = Side(requests={"200": asked - failed, "503": failed}, ready=not self.dead, restarts=0)
        old = Side(requests={"200": everything * (1 - share), "503": 0.0}, ready=True, restarts=0)
        mirrored = everything if stage.mirror_percent else 0.0
        return Observation(start, end, old, new, Split(everything * (1 - share), everything * share, mirrored))

    def load_test(self, candidate: RegisteredVersion, side: splitter.Side) -> Checked:
        assert (candidate.version, side.digest) == (2, candidate.digest)
        self.deeds.append("load test")
        return Checked(self.passes, "99 % of 300 requests took less than 200 ms")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def record(tmp_path: Path) -> RolloutRecord:
    plan = Plan("chest", 1, 2, POLICY, "Ada", "it reads effusions", BEGUN)
    return RolloutRecord.begin(tmp_path / "rollout", plan)


def controller(record: RolloutRecord, world: World, *tell: Callable[[Plan, Event], None]) -> Controller:
    again = RolloutRecord(record.folder)  # all that is known is in the folder
    checks = {"load_test": world.load_test}
    return Controller(again, world, world, world.observe, checks=checks, tell=tell, may_act=world.may_act)


def run(record: RolloutRecord, world: World, *, at_most: int = 60, first: int = 1) -> RolloutState:
    """Tick every minute until it has ended; a controller that dies is followed by another one a minute later."""
    running = controller(record, world)
    for number in range(first, first + at_most):
        try:
            state = running.tick(BEGUN + TICK * number)
            if state.ended:
                return state
        except KilledError:
            world.dies_at = 0
            running = controller(record, world)
    return record.read().state


def stages(record: RolloutRecord) -> list[str]:
    """What was decided but to hold, with the stage it was decided in."""
    return [f"{each.what} {each.stage}" for each in record.events() if each.what in ("advance", "promote", "roll_back")]


def test_a_good_version_goes_from_stage_to_stage_and_becomes_champion(record: RolloutRecord, world: World) -> None:
    assert run(record, world).ended == "promote"
    assert (world.stable, world.candidate, world.champion) == (2, None, 2)
    assert stages(record) == ["advance staging", "advance shadow", "advance canary", "promote full"]
    assert world.deeds == [
        "deploy 2",
        "load test",
        "0 % mirrored",
        "10 %",
        "100 %",
        "stable 2",
        "champion 2",
    ]


def test_a_version_that_fails_leaves_and_the_champion_stays(record: RolloutRecord, world: World) -> None:
    world.failing = True
    assert run(record, world).ended == "roll_back"
    assert (world.stable, world.candidate, world.champion) == (1, None, 1)
    assert stages(record) == ["advance staging", "roll_back shadow"]
    (out,) = [each for each in record.events() if each.what == "roll_back"]
    assert "10.0" in out.reason
    assert out.figures["requests"] > 0


def test_a_version_that_does_not_pass_its_checks_gets_no_request(record: RolloutRecord, world: World) -> None:
    world.passes = False
    assert run(record, world).ended == "roll_back"
    assert not [deed for deed in world.deeds if "%" in deed]


def test_a_rollout_that_has_ended_does_nothing_more(record: RolloutRecord, world: World) -> None:
    run(record, world)
    before = list(world.deeds)
    run(record, world, first=100, at_most=3)
    assert world.deeds == before


@pytest.mark.parametrize("failing", [False, True], ids=["good", "bad"])
@pytest.mark.parametrize("dies_before", [True, False], ids=["before it is done", "once it is done"])
@pytest.mark.parametrize("deed", range(1, 8))
def test_a_controller_that_is_killed_at_any_deed_comes_to_the_same_end(
    record: RolloutRecord, world: World, failing: bool, dies_before: bool, deed: int
) -> None:
    world.failing, world.dies_at, world.dies_before = failing, deed, dies_before
    assert run(record, world).ended == ("roll_back" if failing else "promote")
    assert (world.stable, world.candidate, world.percent) == (1 if failing else 2, None, 0)
    assert world.champion == (1 if failing else 2)


@pytest.mark.parametrize("write", range(1, 40))
def test_a_controller_that_is_killed_at_any_line_it_keeps_comes_to_the_same_end(
    record: RolloutRecord, world: World, write: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = count(1)

    def dying(method: Callable[..., None]) -> Callable[..., None]:
        def keep(self: RolloutRecord, *values: Any) -> None:
            if next(numbers) == write:
                raise KilledError
            method(self, *values)

        return keep

    for name in ("write", "saw", "tell"):
        monkeypatch.setattr(RolloutRecord, name, dying(getattr(RolloutRecord, name)))
    assert run(record, world).ended == "promote"
    assert (world.stable, world.champion) == (2, 2)


def test_a_line_that_was_half_written_is_passed_over(record: RolloutRecord, world: World) -> None:
    run(record, world, at_most=3)
    before = record.observations()
    with (record.folder / "observations.jsonl").open("ab") as file:
        file.write(b'{"start": 10000')
    assert record.observations() == before
    assert run(record, world, first=4).ended == "promote"
    assert record.observations()[: len(before)] == before


def test_only_one_controller_acts(record: RolloutRecord, world: World) -> None:
    with controller(record, world).alone(), pytest.raises(DependencyError), controller(record, world).alone():
        pass
    with controller(record, world).alone():
        pass


@pytest.mark.parametrize(
    ("deed", "failing"),
    [
        ("deploy 2", False),
        ("0 % mirrored", False),
        ("10 %", False),
        ("100 %", False),
        ("stable 2", False),
        ("champion 2", False),
        ("remove", True),
        ("observe", False),  # and what takes long, though nothing is done by it
        ("load_test", False),
    ],
)
def test_who_lost_its_lease_writes_nothing_more_and_another_comes_to_the_same_end(
    record: RolloutRecord, world: World, deed: str, failing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.failing, world.taken_at = failing, deed
    if usual := getattr(world, deed, None):

        def meanwhile_taken(*arguments: Any) -> Any:
            world.mine = False
            return usual(*arguments)

        monkeypatch.setattr(world, deed, meanwhile_taken)
    with pytest.raises(StoppedError):
        run(record, world)
    before = {file.name: file.read_bytes() for file in record.folder.iterdir()}, list(world.deeds)
    with pytest.raises(StoppedError):
        controller(record, world).tick(BEGUN + 10_000)
    assert ({file.name: file.read_bytes() for file in record.folder.iterdir()}, world.deeds) == before
    monkeypatch.undo()
    world.mine, world.taken_at = True, ""
    assert run(record, world, first=30).ended == ("roll_back" if failing else "promote")
    assert (world.stable, world.candidate, world.champion) == ((1, None, 1) if failing else (2, None, 2))


@pytest.fixture
def at_canary(record: RolloutRecord, world: World) -> Iterator[int]:
    """The rollout is in its canary; gives the number of the next tick."""
    for number in count(1):
        if controller(record, world).tick(BEGUN + TICK * number).stage == 2:
            yield number + 1
            return


def test_what_somebody_else_set_is_set_right(record: RolloutRecord, world: World, at_canary: int) -> None:
    world.percent = 50
    controller(record, world).tick(BEGUN + TICK * at_canary)
    assert world.percent == 10
    assert "corrected" in [each.what for each in record.events()]


def test_a_splitter_that_is_down_is_an_alarm_and_nothing_is_decided(
    record: RolloutRecord, world: World, at_canary: int
) -> None:
    world.down = True
    state = controller(record, world).tick(BEGUN + TICK * at_canary)
    assert (state.stage, state.ended) == (2, "")
    last = record.events()[-1]
    assert (last.what, last.alarm, last.reason) == ("failed", True, "Envoy does not answer.")
    world.down = False
    assert run(record, world, first=at_canary + 1).ended == "promote"


def test_a_registry_that_is_gone_is_an_alarm_and_the_rollout_finishes_when_it_is_back(
    record: RolloutRecord, world: World, at_canary: int
) -> None:
    world.no_registry = True
    deeds = list(world.deeds)
    assert run(record, world, first=at_canary, at_most=30).ended == ""
    assert world.deeds == deeds
    assert [each.reason for each in record.events()[-30:]] == 30 * ["the registry does not answer."]
    assert all(each.alarm for each in record.events()[-30:])
    world.no_registry = False
    assert run(record, world, first=at_canary + 30).ended == "promote"


@pytest.mark.parametrize("jump", [-3600.0, 86_400.0], ids=["back", "on"])
@pytest.mark.parametrize("failing", [False, True], ids=["good", "bad"])
def test_a_clock_that_jumps_changes_no_end(
    record: RolloutRecord, world: World, at_canary: int, jump: float, failing: bool
) -> None:
    world.failing = failing
    for number in range(120):  # the clock is set right again an hour later
        now = BEGUN + TICK * (at_canary + number)
        state = controller(record, world).tick(now + (jump if number < 60 else 0.0))
        if state.ended:
            break
    assert state.ended == ("roll_back" if failing else "promote")


def test_a_person_pauses_it_and_it_holds_until_it_is_resumed(
    record: RolloutRecord, world: World, at_canary: int
) -> None:
    record.say(Word("pause", "Grace", "lunch"))
    world.failing = True
    state = run(record, world, first=at_canary, at_most=30)
    assert (state.paused, state.ended, world.percent) == ("Grace: lunch", "", 10)
    record.say(Word("resume", "Grace", "back"))
    assert run(record, world, first=at_canary + 30).ended == "roll_back"


@pytest.mark.parametrize(("action", "champion"), [("promote", 2), ("roll_back", 1)])
def test_a_persons_word_is_done_within_one_tick_whatever_is_seen(
    record: RolloutRecord, world: World, at_canary: int, action: Any, champion: int
) -> None:
    world.failing = action == "promote"
    record.say(Word(action, "Grace", "I know better"))
    assert controller(record, world).tick(BEGUN + TICK * at_canary).ended == action
    assert (world.stable, world.champion) == (champion, champion)
    assert record.word() is None
    assert record.events()[-1].reason == "Grace: I know better"


@pytest.mark.parametrize("action", ["pause", "resume", "promote", "roll_back"])
def test_a_word_that_comes_when_the_rollout_has_ended_is_refused_and_changes_nothing(
    record: RolloutRecord, world: World, action: Any
) -> None:
    world.failing = True
    run(record, world)
    before = list(world.deeds)
    record.say(Word(action, "Grace", "I know better"))
    assert run(record, world, first=100, at_most=2).ended == "roll_back"
    assert (world.deeds, record.word()) == (before, None)
    (last,) = [each for each in record.events() if each.what == "refused"]
    assert (
        last.reason
        == f"{action.replace('_', ' ')}, Grace: I know better: the rollout has ended meanwhile, by roll back"
    )


@pytest.mark.parametrize("deed", range(0, 5))
def test_a_person_goes_back_to_any_earlier_version_while_it_runs(
    record: RolloutRecord, world: World, at_canary: int, deed: int
) -> None:
    record.say(Word("roll_back", "Grace", "both are wrong", to=7))
    world.dies_at = len(world.deeds) + deed if deed else 0
    assert run(record, world, first=at_canary).ended == "roll_back"
    assert (world.stable, world.candidate, world.champion) == (7, None, 7)
    assert record.events()[-1].figures == {"to_version": 7.0}


def test_a_rollback_in_the_middle_of_a_promotion_goes_back_to_the_stable_version(
    record: RolloutRecord, world: World, at_canary: int
) -> None:
    record.say(Word("promote", "Grace", "it is plain"))
    world.dies_at = len(world.deeds) + 1  # it answers, and the registry does not know yet
    with pytest.raises(KilledError):
        controller(record, world).tick(BEGUN + TICK * at_canary)
    assert (world.stable, world.champion) == (2, 1)
    record.say(Word("roll_back", "Grace", "it is not"))
    assert run(record, world, first=at_canary + 1).ended == "roll_back"
    assert (world.stable, world.candidate, world.champion) == (1, None, 1)


def test_going_back_waits_for_an_earlier_version_that_takes_its_time_to_start(
    record: RolloutRecord, world: World, at_canary: int
) -> None:
    world.starts = 3
    record.say(Word("roll_back", "Grace", "both are wrong", to=7))
    assert run(record, world, first=at_canary).ended == "roll_back"
    assert (world.stable, world.candidate, world.champion) == (7, None, 7)
    assert world.deeds.count("remove") == 1  # of the version that was tried, not of the one that starts


def test_who_cannot_be_told_stops_nothing(record: RolloutRecord, world: World) -> None:
    told: list[Event] = []

    def broken(_: Plan, event: Event) -> None:
        told.append(event)
        raise DependencyError("the webhook does not answer.")

    controller(record, world, broken).tick(BEGUN + TICK)
    assert told == record.events()


def test_the_same_observations_come_to_the_same_decisions(record: RolloutRecord, world: World) -> None:
    run(record, world)
    seen = {each.end: each for each in record.observations()}
    other = RolloutRecord.begin(record.folder.with_name("again"), replace(record.plan, actor="Grace"))
    replayed = World()
    replayed.observe = lambda _plan, _stage, _start, end: seen[end]  # type: ignore[method-assign]
    run(other, replayed)
    assert [(each.what, each.reason) for each in other.events()] == [
        (each.what, each.reason) for each in record.events()
    ]


def test_a_rollout_has_a_folder_of_its_own(record: RolloutRecord) -> None:
    with pytest.raises(InputError, match="is there already"):
        RolloutRecord.begin(record.folder, record.plan)


def test_a_version_that_may_not_be_champion_never_takes_the_stable_ones_place(
    record: RolloutRecord, world: World, at_canary: int
) -> None:
    world.refused = frozenset({2})
    for number in range(at_canary, at_canary + 30):
        state = controller(record, world).tick(BEGUN + TICK * number)
    assert (state.ended, world.stable, world.champion, world.percent) == ("", 1, 1, 100)
    assert record.events()[-1].reason == "no gate has judged version 2."
    world.refused = frozenset()
    assert run(record, world, first=at_canary + 30).ended == "promote"


def test_a_promotion_that_is_refused_until_the_deadline_is_rolled_back(tmp_path: Path, world: World) -> None:
    policy = replace(POLICY, deadline_seconds=1500.0)
    record = RolloutRecord.begin(tmp_path / "1", Plan("chest", 1, 2, policy, "Ada", "why", BEGUN))
    world.refused = frozenset({2})
    assert run(record, world).ended == "roll_back"
    assert (world.stable, world.candidate, world.champion) == (1, None, 1)
    assert "its deadline" in record.events()[-1].reason


@pytest.mark.parametrize(("action", "to"), [("promote", 0), ("roll_back", 7)])
def test_a_person_is_refused_a_version_that_may_not_be_champion_and_the_rollout_goes_on(
    record: RolloutRecord, world: World, at_canary: int, action: Any, to: int
) -> None:
    world.refused = frozenset({2, 7})
    record.say(Word(action, "Grace", "I know better", to=to))
    controller(record, world).tick(BEGUN + TICK * at_canary)
    last = record.events()[-1]
    assert (last.what, record.word(), world.stable, world.candidate) == ("refused", None, 1, 2)
    assert last.reason == f"{action.replace('_', ' ')}, Grace: I know better: no gate has judged version {to or 2}"
    world.refused = frozenset()
    assert run(record, world, first=at_canary + 1).ended == "promote"


def test_who_promotes_by_hand_is_written_down_as_the_one(record: RolloutRecord, world: World, at_canary: int) -> None:
    record.say(Word("promote", "Grace", "it is plain"))
    controller(record, world).tick(BEGUN + TICK * at_canary)
    assert (record.plan.actor, world.by) == ("Ada", "Grace")


def test_a_version_that_never_ran_is_started_before_it_is_promoted_by_hand(record: RolloutRecord, world: World) -> None:
    world.starts = 2
    record.say(Word("promote", "Grace", "it is plain"))
    assert run(record, world).ended == "promote"
    assert world.deeds == ["deploy 2", "stable 2", "champion 2"]


def test_a_rollback_that_is_asked_for_again_goes_on_with_the_first(
    record: RolloutRecord, world: World, at_canary: int
) -> None:
    """The new version answers, and the stable one is just starting: it is what both rollbacks mean."""
    record.say(Word("promote", "Grace", "it is plain"))
    world.dies_at = len(world.deeds) + 1
    with pytest.raises(KilledError):
        controller(record, world).tick(BEGUN + TICK * at_canary)
    world.starts = 4
    for number in (1, 2):
        record.say(Word("roll_back", "Grace", f"it is not, for the {number}. time"))
        assert not controller(record, world).tick(BEGUN + TICK * (at_canary + number)).ended
    assert run(record, world, first=at_canary + 3).ended == "roll_back"
    assert (world.stable, world.candidate, world.champion) == (1, None, 1)


def until_stuck(record: RolloutRecord, world: World, percent: int) -> int:
    """Tick until what comes after this share is decided and cannot be done; gives the number of the next tick."""
    for number in count(1):
        controller(record, world).tick(BEGUN + TICK * number)
        world.stuck = world.percent == percent
        if world.stuck and record.events()[-1].what == "failed":
            world.stuck = False
            return number + 1
    raise AssertionError


@pytest.mark.parametrize("percent", [10, 100], ids=["at a step", "at the promotion"])
def test_a_pause_holds_what_was_decided_and_is_not_done(record: RolloutRecord, world: World, percent: int) -> None:
    tick = until_stuck(record, world, percent)
    record.say(Word("pause", "Grace", "lunch"))
    state = run(record, world, first=tick, at_most=20)
    assert (state.paused, state.ended, world.percent, world.stable) == ("Grace: lunch", "", percent, 1)
    record.say(Word("resume", "Grace", "back"))
    assert run(record, world, first=tick + 20).ended == "promote"


@pytest.mark.parametrize("percent", [10, 100], ids=["at a step", "at the promotion"])
def test_what_was_decided_and_is_not_done_is_decided_anew_by_what_is_seen_since(
    record: RolloutRecord, world: World, percent: int
) -> None:
    tick = until_stuck(record, world, percent)
    world.dead = True
    assert run(record, world, first=tick).ended == "roll_back"
    assert (world.stable, world.candidate, world.champion) == (1, None, 1)
    assert record.events()[-1].reason.endswith("the new version has not been ready for 120 s.")


def test_a_promotion_that_is_half_done_is_finished_though_somebody_pauses_it(
    record: RolloutRecord, world: World, at_canary: int
) -> None:
    """The one that answered before is gone."""
    world.no_aliases = True
    world.percent, tick = 100, at_canary
    record.say(Word("promote", "Grace", "it is plain"))
    controller(record, world).tick(BEGUN + TICK * tick)
    assert (world.stable, world.champion) == (2, 1)
    record.say(Word("pause", "Ada", "lunch"))
    controller(record, world).tick(BEGUN + TICK * (tick + 1))
    world.no_aliases = False
    assert run(record, world, first=tick + 2).ended == "promote"
    assert (world.stable, world.champion) == (2, 2)


def test_a_pause_while_it_is_rolled_back_is_refused(record: RolloutRecord, world: World, at_canary: int) -> None:
    world.stuck = True
    record.say(Word("roll_back", "Grace", "it is late"))
    controller(record, world).tick(BEGUN + TICK * at_canary)
    record.say(Word("pause", "Ada", "lunch"))
    controller(record, world).tick(BEGUN + TICK * (at_canary + 1))
    assert record.events()[-1].reason == "pause, Ada: lunch: it is being rolled back"
    world.stuck = False
    assert run(record, world, first=at_canary + 2).ended == "roll_back"


def test_a_deadline_ends_a_rollout_that_nobody_can_look_at(record: RolloutRecord, world: World) -> None:
    world.no_gateway = True
    assert run(record, world, at_most=30).ended == "roll_back"
    last = record.events()[-1]
    assert (last.reason, last.at) == ("Stage staging did not end within 600 s.", BEGUN + 11 * TICK)


def test_a_clock_that_was_ahead_and_is_set_right_costs_the_evidence_and_nothing_else(
    record: RolloutRecord, world: World, at_canary: int
) -> None:
    """What it wrote of the future counts neither now nor when that day comes."""
    state, number = record.read().state, at_canary
    while not state.ended:
        state = controller(record, world).tick(BEGUN + TICK * number - 86_400.0)
        number += 1
        assert number < at_canary + 30
    assert state.ended == "promote"
    ends = [each.end for each in record.observations()]
    assert sum(later < before for before, later in pairwise(ends)) == 1
