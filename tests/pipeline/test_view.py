"""What a person sees of a local run, given what KFP prints of it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from secondread.pipeline.view import RunView

SAID = [
    "films/[old]/a.png cannot be read",
    "the metric [/accuracy] is not known",
    "it ends in C:\\",
    "epoch 3 of 12 :100:",
]


class Terminal(io.StringIO):
    """A terminal, or a file in its place."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize("message", SAID)
@pytest.mark.parametrize("level", ["I", "W"])
@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "file"])
def test_what_a_step_says_is_shown_as_it_was_said(
    message: str, level: str, is_terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message is text, whatever it would mean as markup."""
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal(is_terminal=is_terminal)
    with RunView(tmp_path / "log.txt", uncached={}, on_end=lambda: None, terminal=terminal) as view:
        view.start("ingest")
        view.write(f"    {level} secondread.data.ingest: {message}\n")
    assert message in terminal.getvalue()
