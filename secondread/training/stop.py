"""Hears that a training is to end: SIGTERM, as a cluster sends it to a pod, Ctrl-C, or a file where no signal comes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

STOP_FILE = "stop"  # in the folder of the checkpoints; it holds the name of a signal
_HEARD = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS = 2.0  # between two looks for the file, which may lie on a network volume


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

    Args:
        folder: whose `STOP_FILE` asks this process to end, too; None for none.

    Attributes:
        name: of the signal; empty as long as there was none.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.name = ""
        self._folder = folder
        self._looked = time.monotonic()

    def listen(self) -> None:
        """Hear from now on; whatever heard before does no more. In a thread, which gets no signals, nothing changes."""
        if threading.current_thread() is threading.main_thread():
            for number in _HEARD:
                signal.signal(number, self._hear)

    def heard(self) -> bool:
        """Whether there was a signal, or there is the file, which is looked for every two seconds."""
        if self._folder and not self.name and time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            file = self._folder / STOP_FILE
            self.name = file.read_text(encoding="utf-8") if file.is_file() else ""
        return bool(self.name)

    def _hear(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.name = signal.Signals(number).name
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever asks twice will not wait for a step
