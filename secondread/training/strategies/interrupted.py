"""SIGTERM for a process that opens, exports or tells what it did, or only waits for others that train."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from secondread.errors import StoppedError


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as an error does, so that it can end what it started. Also a decorator.

    Within the block others may hear it instead, as the steps of a training do, which write a checkpoint first.

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
    except (KeyboardInterrupt, SystemExit):  # the latter is what Lightning makes of the former
        if not stopped:
            raise
        raise StoppedError(
            "training was stopped by SIGTERM. The same command, run again, goes on from what is done."
        ) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def asked_first(ask: Callable[[], object], *, seconds: int) -> Iterator[None]:
    """Let the first SIGTERM do nothing but ask others to end, who may need some time to.

    Args:
        ask: asks them.
        seconds: that they have. After them, or with the second SIGTERM, whoever heard it before the block does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, alarm = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGALRM)

    def first(*_: object) -> None:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGALRM, before)
        signal.alarm(seconds)
        ask()

    signal.signal(signal.SIGTERM, first)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarm)
        signal.signal(signal.SIGTERM, before)
