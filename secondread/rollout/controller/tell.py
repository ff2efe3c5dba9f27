"""Who is told of a rollout's events beside its own record: the registry, and a webhook."""

from __future__ import annotations

import json
import math
import re
import urllib.request
from dataclasses import asdict
from http.client import HTTPException

from secondread.errors import DependencyError
from secondread.rollout.analysis.decision import Action
from secondread.rollout.controller.controller import Tell
from secondread.rollout.record.record import Event, Plan

_NEW_AGAIN_SECONDS = 3600.0  # an alarm that was not there for as long is told once more
_NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")


class News:
    """Passes on what is new: not that it goes on as before, and an alarm that each look gives again once.

    Two alarms are the same that say the same in the same stage but for the numbers.

    Args:
        tell: who is told.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._alarms: dict[tuple[str, str, str], float] = {}  # when each was there last

    def __call__(self, plan: Plan, event: Event) -> None:
        """See `Tell`."""
        if event.what not in (Action.HOLD, "failed"):
            self._tell(plan, event)
        elif event.alarm:
            alarm = (event.what, event.stage, _NUMBERS.sub("", event.reason))
            if event.at - self._alarms.get(alarm, -math.inf) >= _NEW_AGAIN_SECONDS:
                self._tell(plan, event)
            self._alarms[alarm] = event.at  # not where nobody could be told: the next look tries again


class Webhook:
    """Sends events as JSON, by POST: `name`, `stable`, `candidate` and the fields of `Event`.

    Args:
        url: http:// or https://.
        timeout_seconds: for an answer.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._url, self._timeout_seconds = url, timeout_seconds

    def __call__(self, plan: Plan, event: Event) -> None:
        """See `Tell`.

        Raises:
            DependencyError: nobody answers, or with an error; the message leaves out the address, which may be secret.
        """
        document = {"name": plan.name, "stable": plan.stable, "candidate": plan.candidate, **asdict(event)}
        body, headers = json.dumps(document).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310 - of the configuration
        try:
            urllib.request.urlopen(request, timeout=self._timeout_seconds).close()  # noqa: S310
        except (OSError, ValueError, HTTPException) as error:
            said = getattr(error, "code", type(error).__name__)
            raise DependencyError(
                f"the webhook does not take an event ({said}): look at control.webhook_url."
            ) from error
