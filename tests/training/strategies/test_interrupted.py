"""SIGTERM while waiting for those who train."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from secondread.errors import StoppedError
from secondread.training.strategies.interrupted import stopped_by_sigterm


def test_sigterm_ends_the_block_with_one_line() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError, match=r"stopped by SIGTERM\. The same command, run again,"), stopped_by_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(10)
    assert signal.getsignal(signal.SIGTERM) == before


def test_ctrl_c_stays_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), stopped_by_sigterm():
        raise KeyboardInterrupt


def test_in_a_thread_nothing_changes() -> None:
    done: list[bool] = []

    def wait() -> None:
        with stopped_by_sigterm():
            done.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert done
