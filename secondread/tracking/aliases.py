"""Which version is champion, which challenger, and to which ones a rollback goes back: a pure account of aliases.

MLflow moves one alias at a time. So the calls of a promotion come in an order in which the champion changes last, and
those of a rollback in one in which it changes first; whatever is cut in between, no former champion is lost. What is
left then is a number under two aliases, which reads as if it had the first one alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from secondread.errors import InputError

CHAMPION = "champion"
CHALLENGER = "challenger"
_TARGET = re.compile(rf"{CHAMPION}-([1-9]\d*)")

Moves = list[tuple[str, str]]  # alias and the version that it goes to; empty: it is removed


@dataclass(frozen=True)
class Aliases:
    """The aliases of one model; versions are the registry's numbers as text.

    Attributes:
        champion: version; empty if there is none.
        challenger: version; empty if there is none, or it is the champion.
        targets: former champions, the last one first, each once, without the champion.
    """

    champion: str
    challenger: str
    targets: tuple[str, ...]

    @classmethod
    def of(cls, aliases: Mapping[str, str]) -> Aliases:
        """From what MLflow has, also in the middle of a promotion or rollback that was cut."""
        champion, challenger = aliases.get(CHAMPION, ""), aliases.get(CHALLENGER, "")
        numbered = {int(found[1]): number for alias, number in aliases.items() if (found := _TARGET.fullmatch(alias))}
        targets = dict.fromkeys(numbered[place] for place in sorted(numbered))
        return cls(
            champion,
            "" if challenger == champion else challenger,
            tuple(number for number in targets if number != champion),
        )

    def promoted(self, version: str, *, keep: int) -> Aliases:
        """The aliases once a version is champion.

        Args:
            version: which.
            keep: rollback targets, at most.
        """
        if version == self.champion:
            return replace(self, targets=self.targets[:keep])
        before = [number for number in (self.champion, *self.targets) if number and number != version]
        challenger = "" if self.challenger == version else self.challenger
        return Aliases(version, challenger, tuple(before[:keep]))

    def rolled_back(self, to: str = "") -> Aliases:
        """The aliases once a former champion is champion again; what came after it is no target any more.

        Args:
            to: a version among the targets; empty for the last champion.
        Raises:
            InputError: there is no such target.
        """
        if not self.targets:
            raise InputError(
                "there is no champion to go back to: none was replaced yet. Name a version with `register promote`."
            )
        to = to or self.targets[0]
        if to not in self.targets:
            there = ", ".join(f"{number} ({CHAMPION}-{place})" for place, number in enumerate(self.targets, 1))
            raise InputError(
                f"version {to} is no rollback target: there are {there}. Or name it to `register promote`."
            )
        challenger = "" if self.challenger == to else self.challenger
        return Aliases(to, challenger, self.targets[self.targets.index(to) + 1 :])

    def named(self) -> dict[str, str]:
        """Versions by alias, as MLflow has them."""
        named = {CHAMPION: self.champion, CHALLENGER: self.challenger}
        named |= {f"{CHAMPION}-{place}": number for place, number in enumerate(self.targets, 1)}
        return {alias: number for alias, number in named.items() if number}


def moves(before: Mapping[str, str], after: Aliases) -> tuple[Moves, Moves, Moves]:
    """What to ask of MLflow, in order: before the champion changes, that change, and what is tidied up after it.

    A promotion writes the rollback targets first, with the champion that is to be replaced; a rollback moves them up
    when the champion is back. In either, no version that stays a target leaves its last alias before it has another.

    Args:
        before: aliases as MLflow has them.
        after: as they are to be.
    """
    wanted = after.named()
    targets = sorted((alias for alias in {*before, *wanted} if _TARGET.fullmatch(alias)), key=_place, reverse=True)
    changed = [(alias, wanted[alias]) for alias in targets if alias in wanted and before.get(alias) != wanted[alias]]
    surplus = [(alias, "") for alias in targets if alias not in wanted]
    # a promotion that was cut left it on the champion, which it must not outlive
    stale = [(CHALLENGER, "")] if CHALLENGER in before and before[CHALLENGER] == before.get(CHAMPION) else []
    if CHALLENGER in before and CHALLENGER not in wanted and not stale:
        surplus.append((CHALLENGER, ""))
    champion = [] if before.get(CHAMPION) == after.champion else [(CHAMPION, after.champion)]
    if before.get(CHAMPION) in after.targets:
        return [*stale, *_in_order(changed, before, after)], champion, surplus
    return stale, champion, [*_in_order(changed, {**before, CHAMPION: after.champion}, after), *surplus]


def _in_order(changed: Moves, before: Mapping[str, str], after: Aliases) -> Moves:
    """The moves, each at a time when the version that it takes the alias from has another one, or needs none."""
    now, left, ordered = dict(before), list(changed), Moves()
    while left:
        free = (move for move in left if _is_free(move[0], now, after))
        move = next(free, left[0])
        left.remove(move)
        ordered.append(move)
        now[move[0]] = move[1]
    return ordered


def _is_free(alias: str, now: Mapping[str, str], after: Aliases) -> bool:
    number = now.get(alias)
    others = [held for other, held in now.items() if other == CHAMPION or (_TARGET.fullmatch(other) and other != alias)]
    return number not in after.targets or number in others


def _place(alias: str) -> int:
    return int(alias.rpartition("-")[2])
