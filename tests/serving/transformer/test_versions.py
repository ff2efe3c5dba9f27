"""A version is dropped only when nobody is answered with it any more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from secondread.serving.protocol.contract import UnknownModelError
from secondread.serving.transformer.versions import ServedVersion, Versions


def version(number: str) -> ServedVersion:
    model: Any = SimpleNamespace(name="secondread", version=number)
    served: Any = SimpleNamespace(model=model)
    return ServedVersion([served])


def test_a_version_is_dropped_once_its_last_request_is_answered(wait_until: Callable[..., None]) -> None:
    first, second, third = map(version, "123")
    versions = Versions(first)
    assert versions.switch(second) == []
    with ThreadPoolExecutor(1) as pool:
        with versions.using("secondread", "1") as held, versions.using("secondread", "1"):
            dropping = pool.submit(versions.switch, third)
            wait_until(lambda: versions.current is third, seconds=10, what="the change")
            assert versions.numbers("secondread") == ["3", "2"]
            assert held.model.version == "1"  # type: ignore[attr-defined]
            with pytest.raises(UnknownModelError), versions.using("secondread", "1"):
                pass
            assert not dropping.done()
        assert dropping.result(timeout=10) == [first]


def test_many_requests_and_changes_at_once_leave_nothing_in_use() -> None:
    """Whoever asks meets a version that is there, before, during and after each change."""
    three = [version(number) for number in "123"]
    versions, done = Versions(three[0]), threading.Event()

    def ask() -> int:
        asked = 0
        while not done.is_set():
            with versions.using("secondread") as served:
                asked += served.model.version in "123"
        return asked

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        for number in range(300):
            dropped = versions.switch(three[(number + 1) % 3])
            assert not any(each.in_use for each in dropped)
        done.set()
        assert all(each.result() for each in asking)
    assert [each.in_use for each in three] == [0, 0, 0]
