"""Who is champion and what a rollback goes back to: a pure account, whole at every step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondread.errors import InputError
from secondread.tracking.aliases import Aliases, Moves, moves


def applied(before: dict[str, str], wanted: Moves) -> Iterator[dict[str, str]]:
    """The aliases after each call."""
    now = dict(before)
    for alias, version in wanted:
        now = {**now, alias: version} if version else {key: kept for key, kept in now.items() if key != alias}
        yield now


def test_a_promotion_keeps_the_champion_as_the_first_target() -> None:
    after = Aliases("3", "4", ("2", "1")).promoted("4", keep=3)
    assert after == Aliases("4", "", ("3", "2", "1"))
    assert after.promoted("5", keep=3) == Aliases("5", "", ("4", "3", "2"))


def test_the_first_champion_replaces_none() -> None:
    assert Aliases("", "", ()).promoted("1", keep=3) == Aliases("1", "", ())


def test_a_former_champion_that_is_promoted_again_is_no_target_of_its_own() -> None:
    assert Aliases("3", "4", ("2", "1")).promoted("1", keep=3) == Aliases("1", "4", ("3", "2"))


def test_the_champion_may_be_promoted_again() -> None:
    assert Aliases("3", "4", ("2", "1")).promoted("3", keep=1) == Aliases("3", "4", ("2",))


def test_a_rollback_goes_back_and_forgets_what_came_after() -> None:
    assert Aliases("4", "5", ("3", "2", "1")).rolled_back() == Aliases("3", "5", ("2", "1"))
    assert Aliases("4", "5", ("3", "2", "1")).rolled_back("2") == Aliases("2", "5", ("1",))


def test_where_there_is_nothing_to_go_back_to_that_is_said() -> None:
    with pytest.raises(InputError, match="no champion to go back to"):
        Aliases("1", "", ()).rolled_back()
    with pytest.raises(
        InputError, match=r"version 9 is no rollback target: there are 3 \(champion-1\), 1 \(champion-2\)"
    ):
        Aliases("4", "", ("3", "1")).rolled_back("9")


def test_other_aliases_are_left_alone() -> None:
    before = {"champion": "1", "champion-x": "1", "champion-01": "1", "nightly": "2"}
    for wanted in moves(before, Aliases.of(before).promoted("2", keep=2)):
        assert not {alias for alias, _ in wanted} & {"champion-x", "champion-01", "nightly"}


@st.composite
def situations(draw: st.DrawFn) -> tuple[dict[str, str], Aliases]:
    """Aliases as MLflow may have them, and what they are to become."""
    numbers = draw(st.lists(st.integers(1, 9).map(str), min_size=1, max_size=6, unique=True))
    before = {f"champion-{place}": number for place, number in enumerate(numbers[1:], 1)} | {"champion": numbers[0]}
    if draw(st.booleans()):
        before["challenger"] = draw(st.integers(1, 9).map(str))
    known = Aliases.of(before)
    if known.targets and draw(st.booleans()):
        return before, known.rolled_back(draw(st.sampled_from(known.targets)))
    return before, known.promoted(draw(st.integers(1, 9).map(str)), keep=draw(st.integers(1, 5)))


@given(situations())
@settings(max_examples=300, deadline=None)
def test_whatever_is_cut_in_between_nothing_is_lost_and_the_champion_is_one_of_two(
    situation: tuple[dict[str, str], Aliases],
) -> None:
    before, after = situation
    preparing, champion, tidying = moves(before, after)
    assert len(champion) == (before["champion"] != after.champion)
    for now in applied(before, preparing):
        assert now["champion"] == before["champion"]
    states = list(applied(before, [*preparing, *champion, *tidying]))
    for now in states:
        read = Aliases.of(now)
        assert read.champion in {before["champion"], after.champion}
        assert set(after.targets) <= {read.champion, *read.targets}
        assert len(set(read.targets)) == len(read.targets)
        assert read.champion not in read.targets
    assert Aliases.of(states[-1] if states else before) == after


@given(situations(), st.integers(0, 12))
@settings(max_examples=300, deadline=None)
def test_a_promotion_that_was_cut_and_is_asked_for_again_comes_to_the_same(
    situation: tuple[dict[str, str], Aliases], cut: int
) -> None:
    before, after = situation
    preparing, champion, tidying = moves(before, after)
    if before["champion"] not in after.targets:
        return  # a rollback; or nothing changes
    now = ([before, *applied(before, [*preparing, *champion, *tidying])])[: cut + 1][-1]
    again = Aliases.of(now).promoted(after.champion, keep=max(len(after.targets), 1))
    assert (again.champion, again.targets, again.challenger) == (after.champion, after.targets, after.challenger)
