"""Progress of long work: a bar on a terminal, a plain line now and then in a log. Always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from secondread.logging import get_logger

T = TypeVar("T")

_LOG_LINES = 5  # lines that one piece of work leaves in a log

log = get_logger(__name__)


def track(items: Iterable[T], description: str, *, total: int, size: Callable[[T], int] = lambda _: 1) -> Iterator[T]:
    """Pass the items on and show how far along they are.

    Args:
        items: what is worked on.
        description: what is done, such as "reading images".
        total: how many items there will be.
        size: how many an item counts for, such as a batch of images.
    """
    show = _with_bar if sys.stderr.isatty() else _with_lines
    yield from show(items, description, total, size)


def _with_bar(items: Iterable[T], description: str, total: int, size: Callable[[T], int]) -> Iterator[T]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        for item in items:
            yield item
            bar.advance(task, size(item))


def _with_lines(items: Iterable[T], description: str, total: int, size: Callable[[T], int]) -> Iterator[T]:
    step = max(1, -(-total // _LOG_LINES))
    done = told = 0
    for item in items:
        yield item
        done += size(item)
        if done >= told + step or done == total:
            log.info("%s: %d of %d", description, done, total)
            told = done - done % step
