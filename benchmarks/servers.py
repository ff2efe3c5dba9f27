"""Starts what is measured in processes of their own, and ends them whatever happens."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.workplace import ROOT
from secondread.atomic import read_json, write_json
from secondread.child import END_WITH_PARENT
from secondread.config.signing import SigningSettings
from secondread.cpus import cpu_limit
from secondread.errors import DependencyError
from secondread.export.repository.layout import write_repository
from secondread.export.repository.signing import sign_folder
from secondread.export.repository.signing_key import signing_key
from secondread.model.folder import ModelFolder

START_SECONDS = 120.0  # on a busy machine; 5 on an idle one
STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
MLSERVER = ROOT / ".venv-mlserver"
MLSERVER_VERSION = "1.7.1"  # as requirements-mlserver.txt has it
MLSERVER_NEEDS = "the environment `.venv-mlserver`"
_BATCH_WAIT_SECONDS = 0.002  # of a request for company; a film at 64 px is decoded and read in about as long


@dataclass(frozen=True)
class Server:
    """What runs.

    Attributes:
        address: of HTTP, host:port.
        grpc_address: of gRPC, host:port; empty for none.
        process: the first of its processes.
    """

    address: str
    grpc_address: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """What all its processes have used so far, user and system."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(times.user + times.system for times in (each.cpu_times() for each in family))


@contextlib.contextmanager
def our_server(model: ModelFolder, work: Path) -> Iterator[Server]:
    """`secondread serve` on a model: the local Triton and the transformer.

    Raises:
        DependencyError: it does not start, such as for want of the local Triton.
    """
    repository = write_repository(model, work / "models", name="secondread", version=1)
    sign_folder(repository, signing_key(SigningSettings.read({}, work)))  # with a key of this measurement alone
    ready = work / "ready.json"
    command = [sys.executable, "-m", "secondread", "serve", "--repository", str(repository)]
    command += ["--http-port", "0", "--grpc-port", "0", "--ready-file", str(ready)]
    with _running(command, work / "ours.log", ready.is_file, {"SECONDREAD_HOME": str(work)}) as process:
        where = read_json(ready)
        yield Server(str(where["url"]).removeprefix("http://"), where["grpc_url"], process)


@contextlib.contextmanager
def fastapi_server(graph: Path, work: Path, *, threads: int = 0) -> Iterator[Server]:
    """The FastAPI peer on a graph; `threads` of a run, 0: as many as onnxruntime takes by itself."""
    (port,) = _free_ports(1)
    address = f"127.0.0.1:{port}"
    command = [sys.executable, "-m", "benchmarks.peers.fastapi_onnxruntime", str(graph), str(port), str(threads)]
    with _running(command, work / "fastapi.log", lambda: _answers(f"http://{address}/health"), {}) as process:
        yield Server(address, "", process)


@contextlib.contextmanager
def grpc_alone(work: Path) -> Iterator[Server]:
    """gRPC in Python that answers without any work."""
    (port,) = _free_ports(1)
    address = f"127.0.0.1:{port}"
    command = [sys.executable, "-m", "benchmarks.peers.grpc_alone", str(port)]
    with _running(command, work / "grpc.log", lambda: _listens(port), {}) as process:
        yield Server("", address, process)


@dataclass(frozen=True)
class MlServerSetting:
    """What MLServer's documentation leaves to whoever serves a model.

    Attributes:
        workers: processes that read images, beside the one that takes requests; 0: that one reads them itself.
        batch: requests that are read together, at most; 0: each by itself.
    """

    workers: int
    batch: int

    def __str__(self) -> str:
        """By MLServer's names."""
        return f"parallel_workers {self.workers}, {f'max_batch_size {self.batch}' if self.batch else 'no batching'}"


@contextlib.contextmanager
def mlserver(graph: Path, work: Path, setting: MlServerSetting) -> Iterator[Server]:
    """The MLServer peer on a graph: a folder of its settings, as its documentation has it.

    Raises:
        DependencyError: it does not start, or its environment is not there.
    """
    if missing := mlserver_missing():
        raise DependencyError(f"{missing}: run `make bench`, which makes it.")
    http, grpc, metrics = _free_ports(3)
    folder = work / f"mlserver-{http}"
    folder.mkdir()
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    folders = {"metrics_dir": str(folder / "metrics"), "environments_dir": str(folder / "environments")}
    write_json(
        folder / "settings.json",
        {"debug": False, "host": "127.0.0.1", "parallel_workers": setting.workers, **ports, **folders},
    )
    threads = max(1, cpu_limit() // max(1, setting.workers))
    write_json(
        folder / "model-settings.json",
        {
            "name": "secondread",
            "implementation": "benchmarks.peers.mlserver_onnxruntime.OnnxModel",
            "max_batch_size": setting.batch,
            "max_batch_time": _BATCH_WAIT_SECONDS if setting.batch else 0,
            "parameters": {"uri": str(graph), "extra": {"threads": threads}},
        },
    )
    command = [str(MLSERVER / "bin/mlserver"), "start", str(folder)]
    ready = f"http://127.0.0.1:{http}/v2/models/secondread/ready"
    with _running(command, folder / "server.log", lambda: _answers(ready), {}) as process:
        yield Server(f"127.0.0.1:{http}", f"127.0.0.1:{grpc}", process)


def mlserver_missing() -> str:
    """Empty where MLServer's environment is there; else a sentence."""
    return "" if (MLSERVER / "bin/mlserver").is_file() else f"needs {MLSERVER_NEEDS}, which is not there"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as sockets:
        free = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in free]


@contextlib.contextmanager
def _running(
    command: list[str], log: Path, ready: Callable[[], bool], variables: dict[str, str]
) -> Iterator[psutil.Process]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*END_WITH_PARENT, *command], env=os.environ | variables, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                last = (log.read_text(errors="replace").strip().splitlines() or ["it wrote nothing"])[-1]
                raise DependencyError(f"'{' '.join(command[1:4])}' did not start: {last}")
            time.sleep(_POLL_SECONDS)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own peer
            return True
    except OSError:
        return False
