"""Ray Data: worker processes on this machine or on many.

Each item travels as pickled bytes in one block, so that a task is one item: when a worker dies, Ray gives its item to
another one, and the results come in order. Folders that are read and written must be the same on every machine.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from secondread.data.fingerprint import code_fingerprint, pixel_packages
from secondread.errors import SecondReadError
from secondread.ray_cluster import installation, lost, other_code, ray, ray_cluster

_RETRIES = 20  # times that a worker may die at one item; Ray's own choice has no end, should the item itself kill it

_PASSED_ON = (SecondReadError, OSError)  # what whoever takes the results can tell the user; all else is a bug of ours

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class _Task:
    """What a worker does.

    Attributes:
        function: pickled.
        installation: of the driver.
        code: the driver's `code_fingerprint`.
        packages: the driver's `pixel_packages`.
    """

    function: bytes
    installation: str
    code: str
    packages: Mapping[str, str]

    def run(self, row: dict[str, bytes]) -> dict[str, bytes]:
        """The result of an item, or the error that the driver is to raise, pickled."""
        result: object
        try:
            self._check_code()
            result = pickle.loads(self.function)(pickle.loads(row["item"]))  # noqa: S301 - of our own driver
        except _PASSED_ON as error:
            result = error
        return {"result": _packed(result)}

    def _check_code(self) -> None:
        if self.installation == installation():
            return
        if self.code != code_fingerprint():
            raise other_code()
        others = [name for name, version in pixel_packages().items() if self.packages[name] != version]
        if others:
            raise other_code(others)


class RayEngine:
    """Workers of a Ray cluster.

    Args:
        address: of a running cluster that this machine is part of, `host:port` or `auto`; empty: a cluster of this
            machine's CPUs, which ends with the block.
    """

    def __init__(self, address: str = "") -> None:
        self._address = address
        self._ends = ExitStack()

    def __enter__(self) -> RayEngine:
        with ExitStack() as ends:
            ends.enter_context(ray_cluster(self._address, instead="use the engine 'local'"))
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
        """As `Engine.map`; Ray Data decides how far ahead, by the room in its store."""
        results = self._results(function, items)
        # its tasks must end before the cluster does, or Ray would start another cluster for them
        self._ends.callback(results.close)
        return results

    def _results(self, function: Callable[[A], B], items: Sequence[A]) -> Generator[B, None, None]:
        if not items:
            return
        task = _Task(_packed(function), installation(), code_fingerprint(), pixel_packages())
        try:
            with closing(_run(task, [{"item": _packed(item)} for item in items])) as blocks:
                for block in blocks:
                    result = pickle.loads(block["result"][0].as_py())  # noqa: S301 - of our own workers
                    if isinstance(result, _PASSED_ON):
                        raise result
                    yield result
        except ray.exceptions.RayError as error:
            raise lost(error) from error


def _run(task: _Task, rows: list[dict[str, bytes]]) -> Any:
    """An iterator of blocks, one row each, that can be closed."""
    with warnings.catch_warnings():
        # Ray's own; and its keyword `max_retries`, which goes with 2.64
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        mapped = ray.data.from_items(rows, override_num_blocks=len(rows)).map(task.run, max_retries=_RETRIES)
        return iter(mapped.iter_batches(batch_size=1, batch_format="pyarrow"))


def _packed(value: object) -> bytes:
    return bytes(ray.cloudpickle.dumps(value))  # type: ignore[no-untyped-call]
