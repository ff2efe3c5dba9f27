"""A server that others wrote, as a child process: it ends with this one, and its log says why it ended."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

from secondread.child import END_WITH_PARENT

_STOP_SECONDS = 10.0


class Program:
    """One such server.

    Args:
        log: file of what it writes, anew at each start.
        errors: what the lines of its log that say why it ended have in them.
    """

    def __init__(self, log: Path, *, errors: re.Pattern[str]) -> None:
        self._log, self._errors = log, errors
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    def start(self, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        """Start it; returns before it answers.

        Args:
            command: of the program.
            environment: variables beside those of this process.
        """
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the installed program
                [*END_WITH_PARENT, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C is for this process, which ends it in its turn
            )
        self._started_at = monotonic()

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def has_ended(self) -> bool:
        """Whether it was started and has ended."""
        return self._process is not None and self._process.poll() is not None

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return monotonic() - self._started_at

    def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        if self._process and self.is_running:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def said(self) -> str:
        """All that it wrote since it was started."""
        return self._log.read_text(errors="replace")

    def last_line(self) -> str:
        """What it said last, an error if there is one."""
        lines = [line for line in self.said().splitlines() if line.strip()]
        errors = [line for line in lines if self._errors.search(line)]
        return (errors or lines or ["it wrote nothing"])[-1]
