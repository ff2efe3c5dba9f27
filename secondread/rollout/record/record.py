"""What is kept of a rollout, so that a controller that was killed goes on where it was: a folder of its own.

plan.json            what it is of, and by which policy; never changes
kept.json            where it is, and what was decided and is not carried out yet
word.json            what a person asked for, until it is obeyed
observations.jsonl   all that was seen, a line each: the same decisions come of it again
events.jsonl         all that was done, a line each, with its reason and figures
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from secondread.atomic import atomic_file, atomic_folder
from secondread.config.rollout import RolloutConfig
from secondread.errors import InputError, IntegrityError
from secondread.rollout.analysis.decision import Decision
from secondread.rollout.analysis.observations import Observation
from secondread.rollout.analysis.state import RolloutState
from secondread.rollout.record import log

T = TypeVar("T")

_PLAN, _KEPT, _WORD = "plan.json", "kept.json", "word.json"
_OBSERVATIONS, _EVENTS = "observations.jsonl", "events.jsonl"


@dataclass(frozen=True)
class Plan:
    """What a rollout is of.

    Attributes:
        name: of the model.
        stable: version that answers.
        candidate: version that is let in.
        policy: by which it is decided; a policy that changes later changes nothing for this rollout.
        actor: who started it.
        reason: why.
        begun: when, seconds since 1970.
    """

    name: str
    stable: int
    candidate: int
    policy: RolloutConfig
    actor: str
    reason: str
    begun: float


@dataclass(frozen=True)
class Word:
    """What a person asks for.

    Attributes:
        action: what.
        actor: who.
        reason: why.
        to: version to go back to, for `roll_back`; 0: the stable one.
    """

    action: Literal["pause", "resume", "promote", "roll_back"]
    actor: str
    reason: str
    to: int = 0


@dataclass(frozen=True)
class Intent:
    """What was decided and may not be carried out yet.

    Attributes:
        decision: what.
        to: as a word has it.
        actor: the person who asked for it; empty where it was decided by what was seen.
    """

    decision: Decision
    to: int = 0
    actor: str = ""


@dataclass(frozen=True)
class Kept:
    """Where a rollout is.

    Attributes:
        state: that it is in.
        intent: to be carried out first; None: there is nothing to do.
    """

    state: RolloutState
    intent: Intent | None = None


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        at: when, seconds since 1970.
        what: `begun`, an action of a decision, `checked`, `corrected`, `obeyed`,
            `refused` or `failed`.
        stage: name of the stage that it was in.
        reason: one sentence.
        figures: numbers by name.
        alarm: somebody should look.
    """

    at: float
    what: str
    stage: str
    reason: str
    figures: dict[str, float] = field(default_factory=dict)
    alarm: bool = False


class RolloutRecord:
    """The folder of one rollout.

    Args:
        folder: as `begin` wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def begin(cls, folder: Path, plan: Plan) -> RolloutRecord:
        """Write a new one.

        Raises:
            InputError: there is one, or the folder cannot be written.
        """
        if folder.exists():
            raise InputError(f"{folder} is there already: a rollout has a folder of its own.")
        with atomic_folder(folder, marker=_PLAN) as aside:
            (aside / _PLAN).write_bytes(log.to_line(plan))
            kept = Kept(RolloutState.begun(plan.begun))
            (aside / _KEPT).write_bytes(log.to_line(kept))
        return cls(folder)

    @cached_property
    def plan(self) -> Plan:
        """What it is of.

        Raises:
            IntegrityError: the folder is none of a rollout, or was changed.
        """
        return _read(self.folder / _PLAN, Plan)

    def read(self) -> Kept:
        """Where it is.

        Raises:
            IntegrityError: as of `plan`.
        """
        return _read(self.folder / _KEPT, Kept)

    def write(self, kept: Kept) -> None:
        """Keep where it is."""
        self._put(_KEPT, kept)

    def say(self, word: Word) -> None:
        """Ask for something; what was asked for before and is not obeyed yet is forgotten."""
        self._put(_WORD, word)

    def word(self) -> Word | None:
        """What is asked for; None: nothing."""
        file = self.folder / _WORD
        return _read(file, Word) if file.is_file() else None

    def obeyed(self, word: Word) -> None:
        """Forget what was asked for, unless something else is asked for by now."""
        if self.word() == word:
            (self.folder / _WORD).unlink(missing_ok=True)

    def saw(self, observation: Observation) -> None:
        """Keep what was seen."""
        log.append(self.folder / _OBSERVATIONS, observation)

    def observations(self) -> list[Observation]:
        """All that was seen, in order."""
        return list(log.read(self.folder / _OBSERVATIONS, Observation))

    def tell(self, event: Event) -> None:
        """Keep what happened."""
        log.append(self.folder / _EVENTS, event)

    def events(self) -> list[Event]:
        """All that happened, in order."""
        return list(log.read(self.folder / _EVENTS, Event))

    def _put(self, name: str, value: Any) -> None:
        with atomic_file(self.folder / name) as aside:
            aside.write_bytes(log.to_line(value))


def _read(file: Path, kind: type[T]) -> T:
    try:
        return log.from_line(file.read_bytes(), kind)
    except OSError as error:
        raise IntegrityError(f"{file} cannot be read ({error.strerror}): name the folder of a rollout.") from error
    except IntegrityError as error:
        raise IntegrityError(f"{file} is not what a rollout keeps: {error}") from error
