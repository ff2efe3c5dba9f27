"""How many requests may be sent a second time: a small share of them, so that an outage is not made worse.

Source: gRPC, "Client-Side Retries" (A6), throttling of retries; Finagle's retry budget.
"""

from __future__ import annotations

import threading

SHARE = 0.1  # of a retry that each answer earns
MOST = 10.0  # retries that are saved up: more than the connections that a restart cuts off under usual load


class RetryBudget:
    """Answers earn retries, retries spend them. May be asked from several threads at once."""

    def __init__(self) -> None:
        self._saved = MOST
        self._lock = threading.Lock()

    def earn(self) -> None:
        """A request was answered at the first try."""
        if self._saved < MOST:
            with self._lock:
                self._saved = min(MOST, self._saved + SHARE)

    def take(self) -> bool:
        """Whether one more request may be sent again."""
        with self._lock:
            if self._saved < 1:
                return False
            self._saved -= 1
            return True
