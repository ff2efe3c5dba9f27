"""SIGTERM while waiting for those who train."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from secondread.errors import StoppedError
from secondread.training.strategies.interrupted import asked_first, stopped_by_sigterm


def test_sigterm_ends_the_block_with_one_line() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError, match=r"stopped by SIGTERM\. The same command, run again,"), stopped_by_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(10)
    assert signal.getsignal(signal.SIGTERM) == before


def test_sigterm_that_lightning_answers_by_an_exit_is_told_in_the_same_line() -> None:
    """Before its first step, until which no handler of ours is in place of the block's."""
    with pytest.raises(StoppedError, match=r"stopped by SIGTERM"), stopped_by_sigterm():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(10)
        except KeyboardInterrupt:
            sys.exit(1)
    with pytest.raises(SystemExit), stopped_by_sigterm():
        sys.exit(1)


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


def test_others_are_asked_first_and_have_some_time_to_end() -> None:
    asked, before = threading.Event(), [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)]
    with stopped_by_sigterm(), asked_first(asked.set, seconds=60):
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.wait(10)  # and they have ended by now
    assert signal.alarm(0) == 0
    with pytest.raises(StoppedError), stopped_by_sigterm(), asked_first(asked.clear, seconds=1):
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(10)  # they do not end
    assert not asked.is_set()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)] == before


def test_who_asks_twice_does_not_wait() -> None:
    with pytest.raises(StoppedError), stopped_by_sigterm(), asked_first(lambda: None, seconds=60):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(10)
