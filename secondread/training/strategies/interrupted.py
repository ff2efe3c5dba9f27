"""SIGTERM for a process that only waits for others that train."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from secondread.errors import StoppedError


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as an error does, so that it can end what it started.

    Raises:
        StoppedError: it came. In a thread, which gets no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        raise KeyboardInterrupt  # the one error that waiting for Ray lets through at once

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        if not stopped:
            raise
        raise StoppedError(
            "training was stopped by SIGTERM. The same command, run again, goes on from what is done."
        ) from None
    finally:
        signal.signal(signal.SIGTERM, before)
