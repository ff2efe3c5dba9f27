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
from pathlib import Path

from secondread.atomic import read_json
from secondread.config.signing import SigningSettings
from secondread.errors import DependencyError
from secondread.export.repository import write_repository
from secondread.export.signing import sign_folder
from secondread.export.signing_key import signing_key
from secondread.model.folder import ModelFolder

START_SECONDS = 120.0  # on a busy machine; 5 on an idle one
STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
_END_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM", "--")  # ended when the benchmark dies, however it dies


@contextlib.contextmanager
def our_server(model: ModelFolder, work: Path) -> Iterator[str]:
    """`secondread serve` on a model: the local Triton and the transformer. Gives the REST address, host:port.

    Raises:
        DependencyError: it does not start, such as for want of the local Triton.
    """
    repository = write_repository(model, work / "models", name="secondread", version=1)
    sign_folder(repository, signing_key(SigningSettings.read({}, work)))  # with a key of this measurement alone
    ready = work / "ready.json"
    command = [sys.executable, "-m", "secondread", "serve", "--repository", str(repository)]
    command += ["--http-port", "0", "--grpc-port", "0", "--ready-file", str(ready)]
    with _running(command, work / "ours.log", ready.is_file, {"SECONDREAD_HOME": str(work)}):
        yield str(read_json(ready)["url"]).removeprefix("http://")


@contextlib.contextmanager
def fastapi_server(graph: Path, work: Path) -> Iterator[str]:
    """The FastAPI peer on a graph. Gives its address, host:port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "benchmarks.peers.fastapi_onnxruntime", str(graph), address.split(":")[1]]
    with _running(command, work / "fastapi.log", lambda: _answers(f"http://{address}/health"), {}):
        yield address


@contextlib.contextmanager
def _running(command: list[str], log: Path, ready: Callable[[], bool], variables: dict[str, str]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_END_WITH_PARENT, *command], env=os.environ | variables, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                last = (log.read_text(errors="replace").strip().splitlines() or ["it wrote nothing"])[-1]
                raise DependencyError(f"'{' '.join(command[1:4])}' did not start: {last}")
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own peer
            return True
    except OSError:
        return False
