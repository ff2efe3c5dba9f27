"""A piece of work in a process of its own: it ends with this one, and hands its result or its error back as a file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import secondread
from secondread import errors
from secondread.atomic import read_json, write_json
from secondread.config.environment import Environment
from secondread.errors import SecondReadError
from secondread.logging import configure

JOB_FILE = "job.json"
RESULT_FILE = "result.json"
ERROR_FILE = "error.json"
LOG_FILE = "log.txt"
_TERMINATE_SECONDS = 30.0  # a training that is asked to end writes a checkpoint first
_KEPT_BYTES = 4_000  # of the log, for an end that nobody foresaw
# The kernel asks the child to end when this process dies, however it dies. A command of util-linux does it, since a
# `preexec_fn` makes Python fork, and gRPC breaks in the fork of a process that uses it.
END_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM", "--")


class Child:
    """One such process.

    Whoever starts it must outlive it: the kernel takes the end of the starting thread for that of the parent.

    Args:
        module: with a `main` that calls `answer`.
        job: what it is told, as JSON.
        folder: of its own; job, result, log and whatever it writes are in it.
        environment: variables beside those of this process.
    """

    def __init__(self, module: str, job: Mapping[str, Any], folder: Path, *, environment: Mapping[str, str]) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / JOB_FILE, dict(job))
        for left in (RESULT_FILE, ERROR_FILE):
            (folder / left).unlink(missing_ok=True)
        library = str(Path(secondread.__file__).parents[1])
        path = os.pathsep.join(filter(None, [library, os.environ.get("PYTHONPATH", "")]))
        with (folder / LOG_FILE).open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*END_WITH_PARENT, sys.executable, "-m", module, str(folder)],
                env={**os.environ, "PYTHONPATH": path, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait for its end; False where it has not come in that time."""
        try:
            self._process.wait(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def result(self) -> Any:
        """Wait for the end and give what it answered.

        Raises:
            SecondReadError: the one that it raised.
            RuntimeError: it ended in another way; with the end of its log.
        """
        self._process.wait()
        if (self._folder / ERROR_FILE).is_file():
            raise _error(read_json(self._folder / ERROR_FILE))
        if self._process.returncode or not (self._folder / RESULT_FILE).is_file():
            end = (self._folder / LOG_FILE).read_bytes()[-_KEPT_BYTES:].decode(errors="replace")
            raise RuntimeError(f"a process of this run ended with exit code {self._process.returncode}:\n{end}")
        return read_json(self._folder / RESULT_FILE)

    def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        if self.is_running():
            self._process.terminate()
            if not self.wait(_TERMINATE_SECONDS):
                self._process.kill()
                self._process.wait()


def answer(work: Callable[[Mapping[str, Any], Path], Mapping[str, Any]], arguments: list[str]) -> int:
    """Be such a process: do the job of the folder that the one argument names.

    Args:
        work: takes the job and the folder, gives the result as JSON.
        arguments: of the command line.
    Returns:
        The exit code: that of the error, if any.
    """
    configure(as_json=Environment.read().log_json)
    folder = Path(arguments[0])
    try:
        result = work(read_json(folder / JOB_FILE), folder)
    except SecondReadError as error:
        write_json(folder / ERROR_FILE, {"kind": type(error).__name__, "message": str(error)})
        return error.exit_code
    write_json(folder / RESULT_FILE, dict(result))
    return 0


def _error(document: Mapping[str, str]) -> SecondReadError:
    """The error that the process left behind, of the class it had there."""
    kind = getattr(errors, document["kind"], SecondReadError)
    return kind(document["message"]) if issubclass(kind, SecondReadError) else SecondReadError(document["message"])
