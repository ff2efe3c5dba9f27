"""Asks a rollout for what a person wants, and has it done: by whoever carries it on, or here where nobody does."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from secondread.config.control import ControlConfig
from secondread.config.environment import Environment
from secondread.errors import DependencyError, InputError
from secondread.rollout.controller.carry_on import Carrier
from secondread.rollout.record.record import Event, RolloutRecord, Word

_PATIENCE_SECONDS = 60.0  # for whoever carries the rollout on to obey; a look at a slow Prometheus takes some
_START_SECONDS = 300.0  # and to start an earlier version, whose model may have to be fetched first
_POLL_SECONDS = 0.2
_AGAIN_SECONDS = 1.0  # between two tries of what was begun


def ask(
    record: RolloutRecord,
    word: Word,
    *,
    config: ControlConfig,
    environment: Environment,
    clock: Callable[[], float] = time.time,
    pause: Callable[[float], object] = time.sleep,
) -> list[Event]:
    """Say a word, and wait until it is obeyed.

    Args:
        record: of the rollout.
        word: what is asked for.
        config: how the rollout is carried on.
        environment: where registry and records are.
        clock: seconds since 1970.
        pause: called with the seconds between two looks.
    Returns:
        What happened since.
    Raises:
        InputError: it cannot be done, and why.
        DependencyError: it is not done in time, and why; it stays asked for.
    """
    asked = word.action.replace("_", " ")
    if record.read().state.ended and not word.to:
        raise InputError(
            f"rollout {record.folder.name} of '{record.plan.name}' has ended: there is nothing to {asked}."
        )
    known = len(record.events())
    record.say(word)
    patience = _START_SECONDS if word.to else _PATIENCE_SECONDS
    begun, why, carrier = clock(), "", None
    often = replace(config, interval_seconds=min(config.interval_seconds, _AGAIN_SECONDS))
    with ExitStack() as stack:
        while _is_awaited(record, word):
            try:
                carrier = carrier or stack.enter_context(Carrier(often, environment))
                carrier.look(record, clock())
            except DependencyError as error:  # somebody else carries it on, and obeys; or nobody can
                stack.close()
                carrier, why = None, str(error)
            if not _is_awaited(record, word):
                break
            if clock() - begun > patience:
                failed = [event.reason for event in record.events()[known:] if event.what == "failed"]
                why = failed[-1] if failed else why or "does `secondread rollout control` run?"
                raise DependencyError(f"'{asked}' is kept and not obeyed after {patience:.0f} s: {why}")
            pause(_AGAIN_SECONDS if carrier else _POLL_SECONDS)
    events = record.events()[known:]
    if refused := [event.reason for event in events if event.what == "refused"]:
        raise InputError(f"{refused[0]}.")
    return events


def _is_awaited(record: RolloutRecord, word: Word) -> bool:
    """Whether it is still to be heard; or, where it ends the rollout, to be done."""
    ends = word.action in ("promote", "roll_back")
    return record.word() is not None or (ends and record.read().intent is not None)
