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
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from secondread.cpus import cpu_limit
from secondread.errors import DependencyError, InputError
from secondread.huge_pages import huge_pages
from secondread.logging import get_logger

ENVIRONMENT = ".venv-triton"
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


@dataclass(frozen=True)
class TritonInstallation:
    """Where the server from PyPI lies.

    Attributes:
        environment: virtual environment.
        packages: its site-packages.
    """

    environment: Path
    packages: Path

    @classmethod
    def find(cls, environment: Path | None = None) -> TritonInstallation:
        """Find the server.

        Args:
            environment: virtual environment; by default `.venv-triton` here, else beside the checkout's code.
        Raises:
            DependencyError: it is not installed.
        """
        here, checkout = Path.cwd() / ENVIRONMENT, Path(__file__).parents[2] / ENVIRONMENT
        for candidate in [environment] if environment else [here, checkout]:
            for packages in candidate.glob("lib/python3.*/site-packages"):
                found = cls(candidate.absolute(), packages.absolute())
                if found.server.is_file() and found.backend.is_file():
                    return found
        raise DependencyError(
            f"the local Triton is not installed ({environment or here} is missing or not complete): "
            "run scripts/setup-triton.sh from the checkout, which makes it in half a minute."
        )

    @property
    def server(self) -> Path:
        """The program."""
        return self.packages / "pytriton/tritonserver/bin/tritonserver"

    @property
    def backend(self) -> Path:
        """The backend for ONNX, compiled from `triton_backend/onnxruntime.cc`."""
        return self.environment / "backends/onnxruntime/libtriton_onnxruntime.so"

    def variables(self, threads: int) -> dict[str, str]:
        """Environment variables of the server's process.

        Args:
            threads: of one run of a graph.
        """
        kept = {key: os.environ[key] for key in ("HOME", "LANG", "PATH", "TMPDIR", "TZ") if key in os.environ}
        return {
            **kept,
            "LD_LIBRARY_PATH": str(self.packages / "nvidia_pytriton.libs"),
            "SECONDREAD_TRITON_THREADS": str(threads),
            **huge_pages({}),
        }


class LocalTriton:
    """A local Triton on one model repository, as a context manager: inside the block it is ready.

    Explicit model control, no completed configurations, and it does not start at all if a model does not load: what is
    registered is exactly what runs. Should it end by itself, it is started again on the same ports. It dies with this
    process, however that ends.

    Args:
        repository: `<root>/<name>/<digest>`.
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
        if not list(self.repository.glob("*/config.pbtxt")):
            raise InputError(f"{self.repository} is no model repository: no model in it has a config.pbtxt.")
        installation = TritonInstallation.find(self._environment)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self._stopping.clear()
        for last in (False, False, True):
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

    def ready(self) -> bool:
        """Whether the server and all of its models are ready."""
        host, _, port = self.http_address.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=2)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def _spawn(self, installation: TritonInstallation) -> subprocess.Popen[bytes]:
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
            self._process = self._spawn(installation)
            try:
                self._wait_until_ready()
                log.info("Triton is ready again on %s", self.grpc_address)
                pause = 0.0
            except DependencyError as error:
                if self._stopping.is_set():
                    return
                log.error("%s", error)
                _end(self._process)
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
        lines = [line.strip() for line in self.log_file.read_text(errors="replace").splitlines() if line.strip()]
        # Without a GPU it complains of CUDA each time and goes on.
        errors = [line for line in lines if (line.startswith("E") or "rror" in line) and "Cuda" not in line]
        return " / ".join((errors or lines)[-_LOG_LINES:]) or "it wrote nothing"

    def _options(self, installation: TritonInstallation) -> list[str]:
        port = {name: address.rpartition(":")[2] for name, address in self._addresses().items()}
        return [
            f"--model-repository={self.repository}",
            f"--backend-directory={installation.backend.parents[1]}",
            "--model-control-mode=explicit",
            "--load-model=*",
            "--disable-auto-complete-config",
            "--exit-on-error=true",
            "--strict-readiness=true",
            f"--exit-timeout-secs={_STOP_SECONDS - 2:.0f}",
            f"--grpc-address={_ADDRESS}",
            f"--grpc-port={port['grpc']}",
            f"--http-address={_ADDRESS}",
            f"--http-port={port['http']}",
            f"--metrics-port={port['metrics']}",
            "--allow-gpu-metrics=false",
        ]

    def _addresses(self) -> dict[str, str]:
        return {"grpc": self.grpc_address, "http": self.http_address, "metrics": self.metrics_address}


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
