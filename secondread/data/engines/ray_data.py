"""Ray Data: worker processes on this machine or on many. The only module that imports Ray.

Each item travels as pickled bytes in one block, so that a task is one item: when a worker dies, Ray gives its item to
another one, and the results come in order. Folders that are read and written must be the same on every machine.
"""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, redirect_stdout
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import secondread
from secondread.cpus import cpu_limit
from secondread.data.fingerprint import code_fingerprint
from secondread.errors import DependencyError, SecondReadError

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read at import: nothing is reported to Ray's makers
try:
    import ray
    import ray.data
except ImportError as error:
    raise DependencyError(
        f"engine 'ray' needs the package '{error.name}'. Install secondread[ray], or use the engine 'local'."
    ) from error
from ray import cloudpickle

_RETRIES = 20  # times that a worker may die at one item; Ray's own choice has no end, should the item itself kill it
_LONGEST_FOLDER = 20  # characters of 107; Ray's own part and ours take 86
_STORE_BYTES = 512 << 20  # of shared memory, for results on their way; Ray's own choice is 30 % of the machine

_SECONDS_TO_ANSWER = 5.0
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")  # Ray takes them for the machine's own address

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
    """

    function: bytes
    installation: str
    code: str

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
        if self.installation != _installation() and self.code != code_fingerprint():
            raise DependencyError(
                f"{socket.gethostname()} runs another version of secondread than this machine, which might give other "
                "pixels. Install the same on every machine of the cluster."
            )


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
        logging.getLogger("ray").setLevel(logging.ERROR)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        with ExitStack() as ends:
            # where Ray tells of workers that died: stdout is kept for results
            ends.enter_context(redirect_stdout(sys.stderr))
            ends.callback(ray.shutdown)
            self._start(ends)
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def _start(self, ends: ExitStack) -> None:
        quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        try:
            if self._address:
                _check_listening(self._address)
                ray.init(address=self._address, **quiet)
                return
            # whoever has it may run code here: Ray listens on the network, and would keep one in the home folder
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            logs = tempfile.mkdtemp(prefix="secondread-ray-", dir=_short_folder())
            ends.callback(shutil.rmtree, logs, ignore_errors=True)
            ends.callback(ray.shutdown)  # before its folder goes
            ray.init(
                address="local",
                num_cpus=cpu_limit(),
                object_store_memory=_STORE_BYTES,
                include_dashboard=False,
                _temp_dir=logs,
                **quiet,
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = f"the Ray cluster at {self._address}" if self._address else "Ray on this machine"
            reason = " ".join(str(error).split())
            raise DependencyError(
                f"{where} does not answer ({reason}). Start it, set RAY_AUTH_MODE and RAY_AUTH_TOKEN if it asks for a "
                "token, or use the engine 'local'."
            ) from error

    def map(self, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
        """As `Engine.map`; Ray Data decides how far ahead, by the room in its store."""
        results = self._results(function, items)
        # its tasks must end before the cluster does, or Ray would start another cluster for them
        self._ends.callback(results.close)
        return results

    def _results(self, function: Callable[[A], B], items: Sequence[A]) -> Generator[B, None, None]:
        if not items:
            return
        task = _Task(_packed(function), _installation(), code_fingerprint())
        try:
            with closing(_run(task, [{"item": _packed(item)} for item in items])) as blocks:
                for block in blocks:
                    result = pickle.loads(block["result"][0].as_py())  # noqa: S301 - of our own workers
                    if isinstance(result, _PASSED_ON):
                        raise result
                    yield result
        except ray.exceptions.RayError as error:
            raise _told(error) from error


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


def _told(error: Exception) -> Exception:
    """What to raise: a line for what somebody can mend, and the error itself where it is a bug of ours."""
    text = " ".join(str(error).split())
    if "No module named 'secondread" in text:
        return DependencyError(
            "a worker of the Ray cluster has no secondread. Install this version with its extra 'ray' on every machine."
        )
    if isinstance(error, ray.exceptions.RayTaskError):
        return error
    return DependencyError(f"Ray was lost ({text[:300]}). Start the run again: it goes on from there.")


def _check_listening(address: str) -> None:
    """Ray itself would try for minutes, and write its own lines meanwhile.

    Raises:
        OSError: nobody listens there.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return  # `auto`, or what Ray refuses at once
    refused = OSError()
    own: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    for name in (host.strip("[]"), own):
        try:
            with socket.create_connection((name, int(port)), timeout=_SECONDS_TO_ANSWER):
                return
        except OSError as error:
            refused = error
        if host not in _THIS_MACHINE:
            break
    raise refused


def _installation() -> str:
    """Which files the library's code comes from."""
    return f"{socket.gethostname()}:{secondread.__file__}"


def _short_folder() -> str | None:
    """Where Ray's folder goes: its sockets lie below, whose paths the kernel bounds; None: where temporary files go."""
    return "/tmp" if len(tempfile.gettempdir()) > _LONGEST_FOLDER else None  # noqa: S108 - a folder of its own below


def _packed(value: object) -> bytes:
    return bytes(cloudpickle.dumps(value))  # type: ignore[no-untyped-call]
