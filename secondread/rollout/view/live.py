"""A rollout's view that is kept up to date while somebody watches."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live

from secondread.rollout.record.record import RolloutRecord
from secondread.rollout.view.terminal import line, view


class LiveView:
    """On a terminal the view, replaced in place; elsewhere a line each time that something is new.

    Args:
        record: of the rollout.
        lines: whether to write these lines; whoever carries the rollout on logs its events itself.
    """

    def __init__(self, record: RolloutRecord, *, lines: bool = True) -> None:
        self._record, self._lines, self._said = record, lines, ""
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def __enter__(self) -> LiveView:
        """Begin to show it."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show it once more, and leave it there."""
        self.show()
        if self._live:
            self._live.stop()

    def show(self) -> None:
        """Show it as it is now."""
        now = time.time()
        if self._live:
            self._live.update(view(self._record, now), refresh=True)
        elif self._lines and (said := line(self._record, now)) != self._said:
            self._said = said
            self._console.print(said, markup=False, soft_wrap=True)
