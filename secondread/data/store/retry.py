"""Asking a store again when it does not answer."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import TypeVar

from secondread.errors import DependencyError

T = TypeVar("T")

_TRIES = 3  # of one request, against a connection that breaks now and then
_WAIT_SECONDS = 0.3  # before the second try; twice that before the third


def again(action: Callable[[], T]) -> T:
    """Do something; when the store does not answer, do it again, a little later each time.

    Raises:
        DependencyError: it did not answer to the last.
    """
    for attempt in range(1, _TRIES):
        try:
            return action()
        except DependencyError:
            sleep(_WAIT_SECONDS * 2 ** (attempt - 1))
    return action()
