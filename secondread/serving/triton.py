"""The local Triton: a real `tritonserver` from PyPI as a child process on a model repository."""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from secondread.atomic import atomic_folder, sha256_bytes, sha256_file
from secondread.cpus import cpu_limit
from secondread.errors import DependencyError, InputError
from secondread.huge_pages import huge_pages
from secondread.logging import get_logger

ENVIRONMENT = ".venv-triton"
BACKEND = Path(__file__).parent / "triton_backend" / "model.py"
_GUARD = Path(__file__).parent / "triton_guard.py"
_ADDRESS = "127.0.0.1"  # never beyond this machine: the transformer is the door
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_LOG_LINES = 6
_PORT_TAKEN = "already in use"  # in Triton's words

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
                if (packages / "pytriton/tritonserver/bin/tritonserver").is_file():
                    return cls(candidate.absolute(), packages.absolute())
        raise DependencyError(
            f"the local Triton is not installed ({environment or here} is missing or not complete): "
            "run scripts/setup-triton.sh from the checkout, which makes it in half a minute."
        )

    @property
    def server(self) -> Path:
        """The program."""
        return self.packages / "pytriton/tritonserver/bin/tritonserver"

    def python_backend_files(self) -> list[Path]:
        """What Triton's Python backend consists of, the process for this environment's Python included."""
        home = self.packages / "pytriton/tritonserver"
        version = self.packages.parent.name.removeprefix("python")
        return [
            home / "backends/python/libtriton_python.so",
            home / "backends/python/triton_python_backend_utils.py",
            home / "python_backend_stubs" / version / "triton_python_backend_stub",
        ]

    def variables(self, threads: int) -> dict[str, str]:
        """Environment variables of the server's process.

        Args:
            threads: of one run of a graph.
        """
        kept = {key: os.environ[key] for key in ("HOME", "LANG", "TMPDIR", "TZ") if key in os.environ}
        libraries = [self.packages / "nvidia_pytriton.libs", *self._python_libraries()]
        return {
            **kept,
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            # The backend's process finds its packages through the first python3 on PATH.
            "PATH": f"{self.environment / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            "VIRTUAL_ENV": str(self.environment),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SECONDREAD_TRITON_THREADS": str(threads),
            **huge_pages({}),
        }

    def _python_libraries(self) -> list[Path]:
        """Where the environment's own libpython lies, if not where the system looks anyway."""
        home = Path(os.path.realpath(self.environment / "bin" / "python")).parent.parent / "lib"
        return [home] if list(home.glob("libpython3*.so.1.0")) else []


class LocalTriton:
    """A local Triton on one model repository, as a context manager: inside the block it is ready.

    Explicit model control, no completed configurations, and it does not start at all if a model does not load: what is
    registered is exactly what runs. It dies with this process, however that ends.

    Args:
        repository: `<root>/<name>/<digest>`.
        home: folder for its log and its backend directory, `<home>/serving/`.
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
        self._home = Path(home).absolute() / "serving"
        self._process: subprocess.Popen[bytes] | None = None
        self.log_file = self._home / f"triton-{os.getpid()}-{secrets.token_hex(2)}.log"

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
        backends = _backend_directory(installation, self._home)
        for last in (False, False, True):
            self._spawn(installation, backends)
            try:
                self._wait_until_ready()
                break
            except BaseException as error:
                self.stop(keep_log=True)
                # Someone else was faster at one of the ports that were free when they were chosen.
                if last or _PORT_TAKEN not in str(error):
                    raise
        log.info("Triton is ready on %s with %d threads", self.grpc_address, self._threads)

    def stop(self, *, keep_log: bool = False) -> None:
        """Stop the server and wait for its end. Does nothing when it is not running."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.stdin:
            process.stdin.close()
        process.wait()
        if not keep_log:
            self.log_file.unlink(missing_ok=True)

    def _spawn(self, installation: TritonInstallation, backends: Path) -> None:
        ports = _free_ports(3)
        self.grpc_address, self.http_address, self.metrics_address = (f"{_ADDRESS}:{port}" for port in ports)
        prefix = f"secondread-{os.getpid()}-{secrets.token_hex(4)}-"
        command = [sys.executable, "-I", "-S", str(_GUARD), str(_STOP_SECONDS), prefix, str(installation.server)]
        with self.log_file.open("wb") as output:
            self._process = _popen(
                [*command, *_options(self.repository, backends, ports, prefix)],
                installation.variables(self._threads),
                output,
            )

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
            time.sleep(_POLL_SECONDS)

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

    def _last_lines(self) -> str:
        """The end of the log on one line, errors first if there are any."""
        lines = [line.strip() for line in self.log_file.read_text(errors="replace").splitlines() if line.strip()]
        # Without a GPU it complains of CUDA each time and goes on.
        errors = [line for line in lines if (line.startswith("E") or "rror" in line) and "Cuda" not in line]
        return " / ".join((errors or lines)[-_LOG_LINES:]) or "it wrote nothing"


def _options(repository: Path, backends: Path, ports: list[int], prefix: str) -> list[str]:
    grpc_port, http_port, metrics_port = ports
    return [
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--disable-auto-complete-config",
        "--exit-on-error=true",
        "--strict-readiness=true",
        f"--exit-timeout-secs={_STOP_SECONDS - 2:.0f}",
        f"--grpc-address={_ADDRESS}",
        f"--grpc-port={grpc_port}",
        f"--http-address={_ADDRESS}",
        f"--http-port={http_port}",
        f"--metrics-port={metrics_port}",
        "--allow-gpu-metrics=false",
    ]


def _popen(command: list[str], variables: dict[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches the transformer first, which drains before Triton goes.
    return subprocess.Popen(  # noqa: S603 - our own guard and the installed server
        command, env=variables, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )


def _backend_directory(installation: TritonInstallation, home: Path) -> Path:
    """Triton's Python backend and ours on top of it, in one folder that is named after what is in it."""
    identity = f"{installation.packages}\n{sha256_file(BACKEND)}"
    folder = home / f"backends-{sha256_bytes(identity.encode())[:12]}"
    if not folder.is_dir():
        with atomic_folder(folder, marker=f"onnxruntime/{BACKEND.name}") as aside:
            (aside / "python").mkdir()
            (aside / "onnxruntime").mkdir()
            for file in installation.python_backend_files():
                shutil.copy(file, aside / "python" / file.name)  # Triton refuses a link that leads out of the folder
            shutil.copyfile(BACKEND, aside / "onnxruntime" / BACKEND.name)
    return folder


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server((_ADDRESS, 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
