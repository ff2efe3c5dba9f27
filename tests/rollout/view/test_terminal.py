"""A rollout as it is shown while it runs: at 80 columns, without colour, and true to what is known."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from secondread.rollout.analysis.decision import Action, Decision
from secondread.rollout.analysis.observations import Agreement, Histogram
from secondread.rollout.record.record import Intent, Kept, RolloutRecord, Word
from secondread.rollout.view.terminal import line, view
from tests.rollout.controller.test_controller import BEGUN, TICK
from tests.rollout.seen import BOUNDS
from tests.rollout.view.conftest import Run, Watched


def shown(record: RolloutRecord, *, minutes: float = 0) -> str:
    """What a console without colours shows, so long after the last look."""
    file = StringIO()
    Console(file=file, width=80, no_color=True).print(view(record, record.read().state.seen + 60 * minutes))
    return file.getvalue()


def row(text: str, name: str) -> list[str]:
    """The figures of a row: stable, new."""
    *_, found = [each for each in text.splitlines() if each.startswith(f"{name}  ")]
    return [each.strip() for each in found.removeprefix(name).split("  ") if each.strip()]


@pytest.mark.parametrize("minutes", [0, 1, 2, 4, 60])
def test_nothing_is_wider_than_the_terminal_and_nothing_hangs_on_colour(carried: Run, minutes: int) -> None:
    text = shown(carried(minutes))
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_it_says_who_began_what_and_why(record: RolloutRecord) -> None:
    text = shown(record)
    assert "chest   version 1 -> version 2" in text
    assert "by Ada: it reads effusions" in text


def test_the_stage_that_it_is_in_is_marked(carried: Run) -> None:
    assert "✓ staging  ✓ shadow  ▶ canary 10 %  · full 100 %" in shown(carried(4))


def test_it_says_how_much_of_what_a_stage_asks_for_is_there(carried: Run) -> None:
    text = shown(carried(4))
    assert "1 min of 2 min" in text
    assert "1,000 of 100" in text
    assert "1 min of 12 h, then it is rolled back" in text


def test_checks_are_passed_or_still_to_do(record: RolloutRecord, carried: Run, world: Watched) -> None:
    assert "load_test not done" in shown(record)
    world.passes = False
    assert "✗ staging" in shown(carried(1))


def test_both_versions_stand_beside_each_other(carried: Run, world: Watched) -> None:
    carried(3)
    world.canary = {"failed": 20, "slow": 20}
    text = shown(carried(1, first=4))
    assert row(text, "share of the answers") == ["90.00 %", "10.00 %"]
    assert row(text, "requests") == ["9,000", "1,000"]
    assert row(text, "restarts") == ["0", "0"]
    assert row(text, "failed") == ["0.00 %", "2.00 %"]
    assert row(text, "P50") == ["27.8 ms", "28.5 ms"]
    assert row(text, "P99") == ["95 ms", "750 ms"]
    assert row(text, "out of distribution") == ["2.00 %", "2.00 %"]
    assert row(text, "read most often as") == ["cxr-normal, 70.03 %", "cxr-normal, 70.30 %"]


def test_what_is_not_known_is_said_to_be_so_and_is_no_zero(carried: Run, world: Watched) -> None:
    world.dark = (3,)
    text = shown(carried(4))
    for name in ("requests", "failed", "P50", "P99", "out of distribution", "read most often as", "ready", "restarts"):
        assert row(text, name) == ["not known", "not known"]


def test_an_alarm_cannot_be_overlooked(carried: Run, world: Watched) -> None:
    world.dark = (3,)
    text = shown(carried(4))
    assert "─ ALARM ─" in text
    assert "nothing is known of the new version's requests" in text
    assert "! no change" in text


def test_a_version_that_is_not_ready_says_why(carried: Run, world: Watched) -> None:
    world.canary = {"ready": False, "problem": "out of memory"}
    assert row(shown(carried(3)), "ready") == ["yes", "no: out of memory"]


def test_times_beyond_the_histogram_are_at_least_its_last_bound(carried: Run, world: Watched) -> None:
    world.canary = {"seconds": Histogram(BOUNDS, (0.0,) * len(BOUNDS) + (1000.0,))}
    assert row(shown(carried(2)), "P99")[1] == "at least 1 s"


def test_of_mirrored_images_it_shows_how_many_the_two_read_differently(carried: Run, world: Watched) -> None:
    world.shadow = Agreement(400.0, 10.0)
    assert row(shown(carried(2)), "read differently") == ["2.50 %"]
    world.shadow = None
    assert "read differently" not in shown(carried(1, first=3))


def test_a_pause_says_who_and_what_ends_it(carried: Run) -> None:
    carried(4).say(Word("pause", "Grace", "lunch"))
    text = shown(carried(2, first=5))
    assert "─ PAUSED ─" in text
    assert "Grace: lunch. Nothing changes until somebody resumes it" in text


def test_a_word_that_is_not_obeyed_yet_is_shown(carried: Run) -> None:
    record = carried(4)
    record.say(Word("roll_back", "Grace", "both are wrong", to=7))
    text = shown(record)
    assert "ASKED FOR, AND NOT DONE YET" in text
    assert "Grace asks to roll back to version 7: both are wrong" in text


def test_what_was_decided_and_is_not_done_yet_is_shown(carried: Run) -> None:
    record = carried(4)
    record.write(Kept(record.read().state, Intent(Decision(Action.ADVANCE, "Stage canary is passed."))))
    assert "next stage: Stage canary is passed." in shown(record)


def test_it_is_said_when_nobody_looks_any_more(carried: Run) -> None:
    record = carried(4)
    assert "NOBODY LOOKS" not in shown(record, minutes=2)
    assert "The last look was 10 min ago" in shown(record, minutes=10)


def test_how_it_ended_is_said_in_words_and_nothing_is_waited_for(carried: Run, world: Watched) -> None:
    world.canary = {"failed": 1000}
    text = " ".join(shown(carried(), minutes=600).replace("│", "").split())
    assert "─ ROLLED BACK ─" in text
    assert "Version 2 of chest was taken out after 2 min: version 1 answers every request, as before." in text
    assert "✓ staging ✗ shadow · canary 10 %" in text
    assert "deadline" not in text
    assert "NOBODY LOOKS" not in text


def test_before_anything_was_seen_it_says_so(record: RolloutRecord) -> None:
    assert "Nothing was seen of either version yet." in shown(record)


def test_what_happened_last_has_a_line_each_the_newest_last(carried: Run) -> None:
    *_, before, last = shown(carried(4)).strip().splitlines()
    assert "next stage" in before
    assert last.startswith("13:50:40  no change")


def test_text_from_outside_is_shown_as_it_is(carried: Run) -> None:
    carried(4).say(Word("pause", "[red]Grace\x1b[2J", "lunch :smile:\nnow"))
    text = shown(carried(1, first=5))
    assert "[red]Grace\ufffd[2J: lunch :smile: now." in text
    assert "\x1b" not in text


def test_a_log_has_it_in_one_line(carried: Run, world: Watched) -> None:
    said = line(carried(4), BEGUN + 4 * TICK)
    assert said == "chest, version 1 -> 2, stage canary 10 %: Stage canary goes on: 60 of 120 s watched."
    world.dark = (4,)
    said = line(carried(1, first=5), BEGUN + 5 * TICK)
    assert said.endswith("ALARM: In stage canary nothing is known of the new version's requests.")
