"""The engines, and what one must do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from secondread.config.engine import EngineConfig
from secondread.data.engines.local import LocalEngine

A = TypeVar("A")
B = TypeVar("B")


class Engine(Protocol):
    """Does work, ahead of whoever takes the results, but only so far that memory stays bounded."""

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
        """The function's result for each item, in order.

        Args:
            function: of a module, or a `partial` of one. It may be called again with the same item after a worker
                was lost, so that doing it twice must be as good as once.
            items: each of them work for a second or so.
        Raises:
            SecondReadError: what the function raised, at the place of its item.
            DependencyError: the engine was lost.
        """
        ...


def open_engine(config: EngineConfig) -> AbstractContextManager[Engine]:
    """Start an engine; it ends with the block, whatever happens in it.

    Raises:
        DependencyError: Ray is not installed, or its cluster does not answer.
    """
    if config.engine == "local":
        return LocalEngine()
    from secondread.data.engines.ray_data import RayEngine  # seconds to import, which the local engine need not pay

    return RayEngine(config.ray_address)
