"""What a person sees of a local run: which step is on, what it says of itself, and how long each took."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from secondread.pipeline.cache import StepRun

# a step's own log lines, which KFP prints indented: "    I secondread.training.module: epoch 3 of 12"
_OWN_LINE = re.compile(r"^\s*([IWE]) (secondread[\w.]*): (.*)$")

# KFP's own words
_STARTS = re.compile(r"Executing task .*'([\w-]+)'")
_ENDED = re.compile(r"Task .*'([\w-]+)'.* finished with status")


class RunView(io.TextIOBase):
    """Takes the runner's output: all of it goes to a file, a step's own lines to the person as well.

    Args:
        log_path: file for everything.
        uncached: what is shown of the tasks that KFP starts without a look into the cache, by their names.
        on_end: called when one of them has ended.
        terminal: where the person looks; stderr by default, since stdout is for results.
    """

    def __init__(
        self,
        log_path: Path,
        *,
        uncached: Mapping[str, str],
        on_end: Callable[[], None],
        terminal: TextIO | None = None,
    ) -> None:
        self._log = log_path.open("w", encoding="utf-8")
        self._uncached, self._on_end = uncached, on_end
        self._console = Console(file=terminal or sys.stderr, highlight=False, soft_wrap=True)
        self._status = self._console.status("starting") if self._console.is_terminal else None
        self._rest = ""
        self._step = ""

    def __enter__(self) -> RunView:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()
        self._log.close()

    def start(self, step: str) -> None:
        """A step was looked up."""
        self._step = step
        if self._status:
            self._status.update(step)

    def end(self, run: StepRun) -> None:
        """A step ended well."""
        took = "from the cache" if run.cached else f"{run.seconds:.1f} s"
        self._console.print(f"[green]✔[/green] {run.name:<18} {took}")

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Take a piece of the runner's output."""
        self._log.write(text)
        self._log.flush()
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._show(line)
        return len(text)

    def _show(self, line: str) -> None:
        if (starts := _STARTS.search(line)) and starts[1] in self._uncached:
            self.start(self._uncached[starts[1]])
        if (ended := _ENDED.search(line)) and ended[1] in self._uncached:
            self._on_end()
        match = _OWN_LINE.match(line)
        if match is None or match[2] == "secondread.pipeline.show":  # what it says is shown below anyway
            return
        level, _, message = match.groups()
        # `Text`, since brackets of a message are no markup
        if level in "WE":
            self._console.print(Text.assemble(("!", "yellow"), f" {message}"))
        elif self._status:
            self._status.update(Text(f"{self._step}: {message}"))
        else:
            self._console.print(Text(f"  {self._step}: {message}"))
