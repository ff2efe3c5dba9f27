"""A server that others wrote, run as a child: started, ended, and asked why it ended."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from time import monotonic

import pytest

from secondread.program import Program

WAIT_SECONDS = 30.0


def until(true: object, *, seconds: float = WAIT_SECONDS) -> bool:
    """Whether what is asked becomes true in time."""
    assert callable(true)
    deadline, pause = monotonic() + seconds, Event()
    while monotonic() < deadline:
        if true():
            return True
        pause.wait(0.02)
    return False


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path / "program.log", errors=re.compile("error"))
    yield made
    made.stop()


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_before_it_is_started_it_neither_runs_nor_has_ended(program: Program) -> None:
    assert (program.is_running, program.has_ended) == (False, False)
    program.stop()


def test_runs_until_it_is_stopped(program: Program) -> None:
    program.start(shell("exec sleep 600"))
    assert (program.is_running, program.has_ended) == (True, False)
    program.stop()
    assert (program.is_running, program.has_ended) == (False, True)


def test_one_that_does_not_listen_is_ended_all_the_same(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("secondread.program._STOP_SECONDS", 0.2)
    program.start(shell(f"trap '' TERM; touch {tmp_path / 'deaf'}; while :; do sleep 0.1; done"))
    assert until((tmp_path / "deaf").exists)
    program.stop()
    assert program.has_ended


def test_says_the_last_error_of_its_log_and_else_its_last_line(program: Program) -> None:
    program.start(shell("echo well; echo error: port taken; echo goodbye"))
    assert until(lambda: program.has_ended)
    assert program.last_line() == "error: port taken"
    program.start(shell("echo well; echo goodbye >&2; echo"))
    assert until(lambda: program.has_ended)
    assert program.last_line() == "goodbye"
    program.start(shell("true"))
    assert until(lambda: program.has_ended)
    assert program.last_line() == "it wrote nothing"


def test_has_the_variables_of_this_process_and_its_own(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "here")
    program.start(shell('echo "$OURS $ITS"'), environment={"ITS": "there"})
    assert until(lambda: program.has_ended)
    assert program.said() == "here there\n"


def test_ends_with_the_process_that_started_it_however_that_dies(tmp_path: Path) -> None:
    alive, script = tmp_path / "alive", tmp_path / "parent.py"
    script.write_text(
        "import re, sys, pathlib, threading\n"
        "from secondread.program import Program\n"
        "program = Program(pathlib.Path(sys.argv[1]), errors=re.compile('error'))\n"
        "program.start(['sh', '-c', 'trap \"rm $ALIVE; exit\" TERM; touch $ALIVE; while :; do sleep 0.1; done'],"
        " environment={'ALIVE': sys.argv[2]})\n"
        "threading.Event().wait()\n"
    )
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path / "log"), str(alive)])
    try:
        assert until(alive.exists)
    finally:
        parent.kill()
        parent.wait()
    assert until(lambda: not alive.exists())
