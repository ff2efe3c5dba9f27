"""A Ray cluster to work on: one of this machine's CPUs, which ends with the block, or one that runs already.

The only module through which Ray is imported, so that nothing is ever reported to its makers.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import Any

import secondread
from secondread.cpus import cpu_limit
from secondread.errors import DependencyError

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read at import
try:
    import ray
    import ray.data
except ImportError as error:
    raise DependencyError(
        f"working with Ray needs the package '{error.name}'. Install secondread[ray], or use what needs no Ray: the "
        "engine 'local', the strategy 'ddp'."
    ) from error

__all__ = ["installation", "lost", "other_code", "ray", "ray_cluster"]

_LONGEST_FOLDER = 20  # characters of 107; Ray's own part and ours take 86
_STORE_BYTES = 512 << 20  # of shared memory, for results on their way; Ray's own choice is 30 % of the machine

_SECONDS_TO_ANSWER = 5.0
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")  # Ray takes them for the machine's own address


@contextmanager
def ray_cluster(address: str, *, instead: str, cpus: int = 0) -> Iterator[None]:
    """Be part of a cluster.

    Args:
        address: of a running cluster that this machine is part of, `host:port` or `auto`; empty: a cluster of this
            machine's CPUs, which ends with the block.
        instead: what the user can do without Ray, such as "use the engine 'local'".
        cpus: that a cluster of this machine has at least, though there be fewer.
    Raises:
        DependencyError: the cluster does not answer.
    """
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with ExitStack() as ends:
        # where Ray tells of workers that died: stdout is kept for results
        ends.enter_context(redirect_stdout(sys.stderr))
        ends.callback(ray.shutdown)
        try:
            _start(address, ends, cpus=max(cpus, cpu_limit()))
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = f"the Ray cluster at {address}" if address else "Ray on this machine"
            reason = " ".join(str(error).split())
            raise DependencyError(
                f"{where} does not answer ({reason}). Start it, set RAY_AUTH_MODE and RAY_AUTH_TOKEN if it asks for a "
                f"token, or {instead}."
            ) from error
        yield


def _start(address: str, ends: ExitStack, *, cpus: int) -> None:
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address:
        _check_listening(address)
        ray.init(address=address, **quiet)
        return
    # whoever has it may run code here: Ray listens on the network, and would keep one in the home folder
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    logs = tempfile.mkdtemp(prefix="secondread-ray-", dir=_short_folder())
    ends.callback(shutil.rmtree, logs, ignore_errors=True)
    ends.callback(ray.shutdown)  # before its folder goes
    ray.init(
        address="local",
        num_cpus=cpus,
        object_store_memory=_STORE_BYTES,
        include_dashboard=False,
        _temp_dir=logs,
        **quiet,
    )


def lost(error: Exception) -> Exception:
    """What to raise for an error of Ray: a line for what somebody can mend, itself where it is a bug of ours."""
    text = " ".join(str(error).split())
    if "No module named 'secondread" in text:
        return DependencyError(
            "a worker of the Ray cluster has no secondread. Install this version with its extra 'ray' on every machine."
        )
    if isinstance(error, ray.exceptions.RayTaskError):
        return error
    return DependencyError(f"Ray was lost ({text[:300]}). Start the run again: it goes on from there.")


def installation() -> str:
    """Which files the library's code comes from: what has the same is the same code."""
    return f"{socket.gethostname()}:{secondread.__file__}"


def other_code(packages: Sequence[str] = ("secondread",)) -> DependencyError:
    """What a worker says whose code, or whose version of some packages, is not the driver's."""
    return DependencyError(
        f"{socket.gethostname()} runs another version of {', '.join(packages)} than this machine, which might give "
        "other results. Install the same on every machine of the cluster."
    )


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


def _short_folder() -> str | None:
    """Where Ray's folder goes: its sockets lie below, whose paths the kernel bounds; None: where temporary files go."""
    return "/tmp" if len(tempfile.gettempdir()) > _LONGEST_FOLDER else None  # noqa: S108 - a folder of its own below
