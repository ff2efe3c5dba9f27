"""Attends a rollout from any process: waits, and carries it on where nobody else does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from secondread.config.control import ControlConfig
from secondread.config.environment import Environment
from secondread.errors import DependencyError
from secondread.logging import get_logger
from secondread.rollout.record.record import RolloutRecord

if TYPE_CHECKING:
    from secondread.rollout.controller.carry_on import Carrier

_POLL_SECONDS = 0.5  # between two looks at what is kept
# Without an event, after which nobody carries it on, whoever says so: a look at a slow Prometheus takes some minutes.
_SILENT_SECONDS = 600.0

log = get_logger(__name__)


def attend(
    record: RolloutRecord,
    over: Callable[[], bool],
    *,
    config: ControlConfig,
    environment: Environment,
    clock: Callable[[], float] = time.time,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Stay with a rollout until something has happened.

    Where another process carries it on, that one is left alone, and asked again every `interval_seconds` whether it
    still does: one that has ended is followed by this one.

    Args:
        record: of the rollout.
        over: whether it has happened.
        config: how it is carried on.
        environment: where registry and records are.
        clock: seconds since 1970.
        pause: called with the seconds between two looks.
    Raises:
        DependencyError: nobody carries the rollout on, and this process cannot.
    """
    if over():
        return
    from secondread.rollout.controller.carry_on import (
        Carrier,  # MLflow takes seconds to import, which waiting should not pay
    )

    carrier: Carrier | None = None
    refused, said = -math.inf, ""
    with ExitStack() as stack:
        while not over():
            now = clock()
            if carrier or not 0 <= now - refused < config.interval_seconds:
                try:
                    carrier = carrier or stack.enter_context(Carrier(config, environment))
                    carrier.look(record, now)
                except DependencyError as error:
                    stack.close()
                    carrier, refused = None, now
                    _check_alive(record, now, error)
                    if str(error) != said:
                        said = str(error)
                        log.info("%s Waiting for it.", said)
            pause(_POLL_SECONDS)


def _check_alive(record: RolloutRecord, now: float, error: DependencyError) -> None:
    """Whoever carries a rollout on writes down every look."""
    heard = max((each.at for each in record.events()), default=record.plan.begun)
    if now - heard > _SILENT_SECONDS:
        raise DependencyError(
            f"{error} But nothing has happened for {now - heard:.0f} s: end it, or have `secondread rollout control` "
            "run where it can."
        ) from error
