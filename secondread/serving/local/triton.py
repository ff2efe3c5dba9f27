"""The local Triton: a real `tritonserver` from PyPI as a child process on a model repository."""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from secondread.cpus import cpu_limit
from secondread.errors import DependencyError, InputError
from secondread.logging import get_logger
from secondread.serving.local.model_control import HEADER, ModelControl
from secondread.serving.local.triton_installation import TritonInstallation

_ADDRESS = "127.0.0.1"  # never beyond this machine: the transformer is the door
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 30.0  # between two starts of a server that ends again and again
_LOG_LINES = 6
_PORT_TAKEN = "already in use"  # in Triton's words
# The kernel ends Triton when this process dies, however it dies. A command of util-linux does it, since a `preexec_fn`
# makes Python fork, and gRPC breaks in the fork of a process that uses it.
_END_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")

log = get_logger(__name__)


class LocalTriton:
    """A local Triton on one model repository, as a context manager: inside the block it is ready.

    Explicit model control, no completed configurations, and it does not start at all if a model does not load: what is
    registered is exactly what runs. Models are loaded and unloaded by who has its secret alone. Should it end by
    itself, it is started again on the same ports with the models that it had. It dies with this process, however that
    ends.

    Args:
        repository: folder of models, such as `<root>/<name>/<digest>`; those that are in it are loaded at the start.
        home: folder for its log, `<home>/serving/`.
        environment: virtual environment of the server; see `TritonInstallation.find`.
        threads: of one run of a graph; 0: the container's CPU limit.
        start_timeout_seconds: until it must be ready.
    Attributes:
        grpc_address, http_address, metrics_address: host:port, once started.
    """

    def __init__(
        self,
        repository: Path,
        *,
        home: Path,
        environment: Path | None = None,
        threads: int = 0,
        start_timeout_seconds: float = 60.0,
    ) -> None:
        self.repository = Path(repository).absolute()
        self.grpc_address = self.http_address = self.metrics_address = ""
        self._environment = environment
        self._threads = threads or cpu_limit()
        self._start_timeout_seconds = start_timeout_seconds
        self._models: tuple[str, ...] = ()
        self._secret = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._stopping = threading.Event()
        self.log_file = Path(home).absolute() / "serving" / f"triton-{os.getpid()}-{secrets.token_hex(2)}.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until every model is ready.

        Raises:
            InputError: the folder is no model repository.
            DependencyError: the server is not installed, does not start or is not ready in time.
        """
        self._models = tuple(sorted(path.parent.name for path in self.repository.glob("*/config.pbtxt")))
        if not self._models:
            raise InputError(f"{self.repository} is no model repository: no model in it has a config.pbtxt.")
        installation = TritonInstallation.find(self._environment)
        for last in (False, False, True):
            self._stopping.clear()
            ports = _free_ports(3)
            self.grpc_address, self.http_address, self.metrics_address = (f"{_ADDRESS}:{port}" for port in ports)
            self._process = self._spawn(installation)
            try:
                self._wait_until_ready()
                break
            except BaseException as error:
                self.stop(keep_log=True)
                # Someone else was faster at one of the ports that were free when they were chosen.
                if last or _PORT_TAKEN not in str(error):
                    raise
        self._keeper = threading.Thread(target=self._keep, args=(installation,), name="triton-keeper", daemon=True)
        self._keeper.start()
        log.info("Triton is ready on %s with %d threads", self.grpc_address, self._threads)

    def stop(self, *, keep_log: bool = False) -> None:
        """Stop the server and wait for its end. Does nothing when it is not running."""
        self._stopping.set()
        if self._keeper:
            self._keeper.join()
            self._keeper = None
        if self._process is None:
            return
        process, self._process = self._process, None
        _end(process)
        if not keep_log:
            self.log_file.unlink(missing_ok=True)

    def load(self, name: str) -> None:
        """Load a model that was put into the repository, beside those that run; it is warm when this returns.

        Args:
            name: of its folder.
        Raises:
            DependencyError: it does not load. What ran goes on running.
        """
        self._control().load(name)
        self._models = (*self._models, name)

    def unload(self, name: str) -> None:
        """Unload a model, once the requests that it has are answered.

        Raises:
            DependencyError: the server does not answer; if it ended, it comes back without this model.
        """
        self._models = tuple(each for each in self._models if each != name)
        self._control().unload(name)

    def ready(self) -> bool:
        """Whether the server and all of its models are ready."""
        try:
            with closing(http.client.HTTPConnection(self.http_address, timeout=2)) as connection:
                return all(_is_ready(connection, name) for name in self._models)
        except (OSError, http.client.HTTPException):
            return False

    def _control(self) -> ModelControl:
        return ModelControl(self.http_address, self._start_timeout_seconds, self._secret)

    def _spawn(self, installation: TritonInstallation) -> subprocess.Popen[bytes]:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as output:
            return _popen(
                [*_END_WITH_PARENT, str(installation.server), *self._options(installation)],
                installation.variables(self._threads),
                output,
            )

    def _keep(self, installation: TritonInstallation) -> None:
        """Start the server again whenever it ends by itself, later each time if it does not stay."""
        pause = 0.0
        while not self._stopping.wait(_POLL_SECONDS):
            process = self._process
            if process is None or process.poll() is None:
                continue
            log.error("Triton ended by itself (%s): starting it again. %s", _cause(process), self._last_lines())
            if self._stopping.wait(pause):
                return
            started = time.monotonic()
            try:
                self._process = process = self._spawn(installation)
                self._wait_until_ready()
                log.info("Triton is ready again on %s", self.grpc_address)
                pause = 0.0
            except (DependencyError, OSError, MemoryError) as error:  # the machine may be full: nobody else tries again
                if self._stopping.is_set():
                    return
                log.error("%s", error if isinstance(error, DependencyError) else f"Triton cannot be started ({error}).")
                _end(process)
                pause = min(max(2 * pause, 0.5, time.monotonic() - started), _LONGEST_PAUSE_SECONDS)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._start_timeout_seconds
        while not self.ready():
            if self._process is None or self._process.poll() is not None:
                raise DependencyError(f"Triton did not start: {self._last_lines()} (log: {self.log_file}).")
            if time.monotonic() > deadline:
                raise DependencyError(
                    f"Triton was not ready after {self._start_timeout_seconds:g} s: {self._last_lines()} "
                    f"(log: {self.log_file}). Give it more time if the machine is busy."
                )
            if self._keeper and self._stopping.is_set():
                raise DependencyError("Triton was stopped while it started.")
            time.sleep(_POLL_SECONDS)

    def _last_lines(self) -> str:
        """The end of the log on one line, errors first if there are any."""
        try:
            lines = [line.strip() for line in self.log_file.read_text(errors="replace").splitlines() if line.strip()]
        except OSError:
            return "its log is gone"
        # Without a GPU it complains of CUDA each time and goes on.
        errors = [line for line in lines if (line.startswith("E") or "rror" in line) and "Cuda" not in line]
        return " / ".join((errors or lines)[-_LOG_LINES:]) or "it wrote nothing"

    def _options(self, installation: TritonInstallation) -> list[str]:
        port = {name: address.rpartition(":")[2] for name, address in self._addresses().items()}
        return [
            f"--model-repository={self.repository}",
            f"--backend-directory={installation.backend.parents[1]}",
            "--model-control-mode=explicit",
            *(f"--load-model={name}" for name in self._models),
            "--disable-auto-complete-config",
            "--exit-on-error=true",
            f"--exit-timeout-secs={_STOP_SECONDS - 2:.0f}",
            f"--grpc-address={_ADDRESS}",
            f"--grpc-port={port['grpc']}",
            f"--http-address={_ADDRESS}",
            f"--http-port={port['http']}",
            f"--metrics-port={port['metrics']}",
            "--allow-gpu-metrics=false",
            # A page in a browser of this machine reaches the port too; users of it could read the secret all the same.
            f"--http-restricted-api=model-repository:{HEADER}={self._secret}",
            f"--grpc-restricted-protocol=model-repository:{HEADER}={self._secret}",
        ]

    def _addresses(self) -> dict[str, str]:
        return {"grpc": self.grpc_address, "http": self.http_address, "metrics": self.metrics_address}


def _is_ready(connection: http.client.HTTPConnection, model: str) -> bool:
    connection.request("GET", f"/v2/models/{model}/ready")
    with connection.getresponse() as answer:
        answer.read()
        return answer.status == http.client.OK


def _popen(command: list[str], variables: dict[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches the transformer first, which drains before Triton goes.
    return subprocess.Popen(  # noqa: S603 - the installed server
        command,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Have a server end in order, and by force if it does not."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _cause(process: subprocess.Popen[bytes]) -> str:
    """Why a process ended."""
    return f"exit code {process.returncode}" if process.returncode >= 0 else signal.Signals(-process.returncode).name


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server((_ADDRESS, 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
