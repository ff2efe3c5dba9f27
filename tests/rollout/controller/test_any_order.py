"""Whatever happens to a rollout, in whatever order: it ends, and who answers is who the registry says is champion."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from secondread.rollout.record.record import Plan, RolloutRecord, Word
from tests.rollout.controller.test_controller import BEGUN, POLICY, TICK, KilledError, World, controller, run

RUNNING = [("nothing", None)] * 6
PROMOTE, ROLL_BACK = ("word", Word("promote", "Ada", "-")), ("word", Word("roll_back", "Ada", "-"))
FAULTS = ("down", "stuck", "dead", "failing", "no_registry", "no_aliases", "no_gateway")

deaths = st.tuples(st.just("dies"), st.tuples(st.integers(1, 3), st.booleans()))
faults = st.tuples(st.sampled_from(FAULTS), st.booleans())
words = st.tuples(
    st.just("word"),
    st.builds(
        Word,
        st.sampled_from(("pause", "resume", "promote", "roll_back")),
        st.sampled_from(("Ada", "Grace")),
        st.just("because"),
    ),
)
back = st.tuples(st.just("word"), st.just(Word("roll_back", "Grace", "to the one before", to=1)))
clocks = st.tuples(st.just("clock"), st.sampled_from((-86_400.0, -90.0, 90.0, 86_400.0)))
slow = st.tuples(st.just("starts"), st.integers(1, 4))  # looks that the next version to be promoted takes to start
nothing = st.just(("nothing", None))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(nothing, deaths, faults, words, back, clocks, slow), max_size=40))
@example([*RUNNING, ("no_aliases", True), PROMOTE, ("starts", 4), ROLL_BACK, ROLL_BACK])
@example([*RUNNING, PROMOTE, ("dies", (2, True)), ROLL_BACK, ("dies", (1, False)), ROLL_BACK])
@example([*RUNNING, ("stuck", True), PROMOTE, ("dead", True), ("word", Word("pause", "Ada", "-"))])
def test_it_ends_with_one_version_that_answers_and_is_champion(happens: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        record = RolloutRecord.begin(Path(folder) / "1", Plan("chest", 1, 2, POLICY, "Ada", "-", BEGUN))
        world, now = World(), BEGUN
        running = controller(record, world)
        for what, value in happens:
            match what:
                case "dies":
                    world.dies_at, world.dies_before = len(world.deeds) + value[0], value[1]
                case "word":
                    record.say(value)
                case "clock":
                    now += value
                case "nothing":
                    pass
                case _:
                    setattr(world, what, value)
            now += TICK
            try:
                running.tick(now)
            except KilledError:
                world.dies_at = 0
                running = controller(record, world)
            assert 0 <= world.percent <= 100
            assert world.candidate is not None or world.percent == 0
            assert world.stable in (1, 2)
        for fault in FAULTS:
            setattr(world, fault, False)
        world.dies_at = world.starts = 0
        if record.read().state.paused and not record.read().state.ended:
            record.say(Word("resume", "Grace", "let it end"))
        state = run(record, world, first=round((now - BEGUN) / TICK) + 1, at_most=300)
    assert state.ended in ("promote", "roll_back")
    assert (world.stable, world.candidate, world.percent) == (world.champion, None, 0)
    assert world.stable == 1 or state.ended == "promote"
