"""Hears that a training is to end: SIGTERM, as a cluster sends it to a pod, or Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_HEARD = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def signals_put_back() -> Iterator[None]:
    """Put back at the end what heard before: Lightning leaves its own handlers behind, and a `StopRequest` its.

    A notebook would be deaf to Ctrl-C, and processes that it forks deaf to SIGTERM. In a thread, which gets no signals,
    nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _HEARD}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # else it was not set from Python, and cannot be set back from there
                signal.signal(number, handler)


class StopRequest:
    """Whether this process was asked to end.

    Attributes:
        name: of the signal; empty as long as there was none.
    """

    def __init__(self) -> None:
        self.name = ""

    def listen(self) -> None:
        """Hear from now on; whatever heard before does no more. In a thread, which gets no signals, nothing changes."""
        if threading.current_thread() is threading.main_thread():
            for number in _HEARD:
                signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.name = signal.Signals(number).name
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever asks twice will not wait for a step
