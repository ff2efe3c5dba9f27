"""Whatever a controller acts upon, asked first whether it may still act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")


def guarded(inner: T, check: Callable[[], None]) -> T:
    """The same object, with a question before each use of it.

    Args:
        inner: the object.
        check: raises where nothing may be done any more, such as `Lease.check`.
    """
    return cast(T, _Guarded(inner, check))


class _Guarded:
    def __init__(self, inner: object, check: Callable[[], None]) -> None:
        self._inner, self._check = inner, check

    def __getattr__(self, name: str) -> Any:
        self._check()
        return getattr(self._inner, name)
