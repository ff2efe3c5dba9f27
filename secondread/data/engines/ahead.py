"""Work done ahead of whoever takes it, in order and only so far ahead that memory stays bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def ahead(pool: Executor, function: Callable[[A], B], items: Iterable[A], *, limit: int) -> Iterator[B]:
    """Like `pool.map`, which takes all items and makes all results at once whether they are wanted yet or not.

    Args:
        pool: does the work.
        function: called with each item.
        items: taken as there is room.
        limit: results that may be under way or wait at a time.
    Raises:
        Exception: what the function raised, at the place of its item; the work under way is given up.
    """
    waiting: deque[Future[B]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= limit:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
