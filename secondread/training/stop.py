"""Hears that a training is to end: SIGTERM, as a cluster sends it to a pod, or Ctrl-C."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

_HEARD = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether this process was asked to end.

    Attributes:
        name: of the signal; empty as long as there was none.
    """

    def __init__(self) -> None:
        self.name = ""
        self._before: dict[signal.Signals, Any] = {}

    def listen(self) -> None:
        """Hear from now on; whatever heard before does no more. In a thread, which gets no signals, nothing changes."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in _HEARD}

    def rest(self) -> None:
        """Put back what heard before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.name = signal.Signals(number).name
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever asks twice will not wait for a step
