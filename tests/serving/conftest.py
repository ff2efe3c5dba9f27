"""A tiny real model, and one real server for the whole session: Triton, the transformer, REST and gRPC."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from secondread.data.pixels.preprocess import Preprocessing, preprocess
from secondread.export.repository.layout import write_repository
from secondread.export.repository.signing import sign_folder
from secondread.export.repository.signing_key import SigningKey, make_key_pair
from secondread.model.folder import ModelFolder
from secondread.model.session import GraphSession, Outputs
from secondread.serving.local.triton import LocalTriton
from secondread.taxonomy import ClassInfo, Taxonomy

ROOT = Path(__file__).resolve().parents[2]
SIZE = 32
SERVE = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from secondread import logging
from secondread.atomic import write_json
from secondread.config.environment import Environment
from secondread.config.serve import ServeConfig
from secondread.serving.local.serve import serve
from secondread.serving.front.server import open_tracing, run_transformer
environment = Environment.read()
logging.configure(as_json=environment.log_json)
options = json.loads(sys.argv[1])
config, repository = ServeConfig(**options["config"]), Path(options["repository"])
say = lambda endpoints: write_json(options["ready"], asdict(endpoints))
trusted, home = Path(options["trusted"]), Path(options["home"])
if options["predictor"]:
    tracing = open_tracing(environment.trace)
    run_transformer(repository, options["predictor"], config, trusted=trusted, tracing=tracing, on_listening=say)
else:
    serve(repository, config, home=home, trusted=trusted, trace=environment.trace, on_ready=say)
"""


@dataclass(frozen=True)
class Served:
    """A running server: where it listens, what it serves, and its process."""

    url: str
    grpc_url: str
    process: subprocess.Popen[bytes]
    log: Path


def start_server(
    work: Path,
    repository: Path,
    *,
    trusted: Path,
    predictor: str = "",
    seconds: float = 60,
    environment: dict[str, str] | None = None,
    **config: Any,
) -> Served:
    """Start a server in a process of its own and wait until it says where it listens."""
    ready, log = work / "ready.json", work / "server.log"
    ready.unlink(missing_ok=True)  # of a server before
    options = {
        "repository": str(repository),
        "home": str(work / "home"),
        "trusted": str(trusted),
        "predictor": predictor,
        "ready": str(ready),
        "config": {"http_port": 0, "grpc_port": 0, **config},
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, json.dumps(options)],
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stderr=output,
        )
    try:
        wait_for(lambda: ready.is_file() or process.poll() is not None, seconds=seconds, what="the server to listen")
        assert process.poll() is None, log.read_text()
    except BaseException:
        process.kill()
        process.wait()
        raise
    endpoints = json.loads(ready.read_text())
    return Served(endpoints["url"], endpoints["grpc_url"], process, log)


def stop_server(server: Served) -> int:
    """Ask it to stop, and wait."""
    server.process.send_signal(signal.SIGTERM)
    return server.process.wait(timeout=30)


def wait_for(condition: Callable[[], object], *, seconds: float, what: str) -> None:
    """Ask again and again until a condition holds."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        pause.wait(0.02)


@pytest.fixture(scope="session")
def model(tiny_model: ModelFolder, explaining_graph: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A tiny real model, with the graph that explains it."""
    folder = tmp_path_factory.mktemp("model") / "secondread"
    shutil.copytree(tiny_model.root, folder)
    shutil.copyfile(explaining_graph, folder / "explain.onnx")
    return ModelFolder.open(folder)


@pytest.fixture(scope="session")
def models(
    model: ModelFolder, tiny_graph: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> list[ModelFolder]:
    """Three models that say different things of one film; the second knows one more class and reads more pixels.

    Only the first has a graph that explains it.
    """
    four = (*model.config.taxonomy.classes, ClassInfo("cxr-fracture", "Fracture", "cxr", "urgent"))
    made = [model]
    for seed, classes, size in ((1, four, 48), (2, model.config.taxonomy.classes, SIZE)):
        folder = tmp_path_factory.mktemp("model") / "secondread"
        folder.mkdir()
        tiny_graph(folder / "fp32.onnx", seed=seed, classes=len(classes), size=size)
        config = replace(model.config, taxonomy=Taxonomy(classes), preprocessing=Preprocessing(size))
        config.write(folder)
        made.append(ModelFolder.open(folder))
    return made


@pytest.fixture(scope="session")
def repositories(models: list[ModelFolder], signer: SigningKey, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Those models as versions 1, 2 and 3 of signed Triton repositories."""
    root = tmp_path_factory.mktemp("versions")
    folders = [write_repository(each, root, name="secondread", version=i) for i, each in enumerate(models, 1)]
    for folder in folders:
        sign_folder(folder, signer)
    return folders


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    """A key pair."""
    return make_key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def trusted(signer: SigningKey) -> Path:
    """Its public key, which servers trust."""
    return signer.path.with_suffix(".pub")


@pytest.fixture(scope="session")
def repository(model: ModelFolder, signer: SigningKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model as version 3 of a signed Triton repository."""
    folder = write_repository(model, tmp_path_factory.mktemp("models"), name="secondread", version=3)
    sign_folder(folder, signer)
    return folder


@pytest.fixture(scope="session")
def served(repository: Path, trusted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The model behind the local Triton and the transformer, on free ports."""
    server = start_server(
        tmp_path_factory.mktemp("served"),
        repository,
        trusted=trusted,
        max_request_bytes=1 << 20,
        max_grpc_message_bytes=1 << 20,
    )
    yield server
    assert stop_server(server) == 0, server.log.read_text()


@pytest.fixture(scope="session")
def triton_address(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a Triton listens that has the model under its own name, as in a predictor pod."""
    with LocalTriton(repository, home=tmp_path_factory.mktemp("home"), threads=1) as triton:
        yield triton.http_address


@pytest.fixture(scope="session")
def silent_predictor() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="session")
def strict(
    repository: Path, trusted: Path, silent_predictor: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server with the narrowest limits: one place, a MiB in all, a second of patience; its Triton never answers."""
    server = start_server(
        tmp_path_factory.mktemp("strict"),
        repository,
        trusted=trusted,
        predictor=silent_predictor,
        max_in_flight=1,
        max_request_bytes=1 << 20,
        max_grpc_message_bytes=1 << 20,
        max_bytes_in_flight=1 << 20,
        head_timeout_seconds=1.0,
        body_timeout_seconds=1.0,
        max_connection_seconds=2.0,
        predictor_timeout_seconds=0.8,
    )
    yield server
    assert stop_server(server) == 0, server.log.read_text()


@pytest.fixture(scope="session")
def bare() -> Callable[..., Outputs]:
    """What onnxruntime alone says of encoded images: `bare(model, *images)`."""

    def run(model: ModelFolder, *images: bytes) -> Outputs:
        pixels = np.stack([preprocess(data, model.config.preprocessing) for data in images])[:, np.newaxis]
        return GraphSession(model.graph_path()).run(pixels)

    return run


@pytest.fixture(scope="session")
def expected(model: ModelFolder, bare: Callable[..., Outputs]) -> Callable[..., Outputs]:
    """The same of the model that is served."""
    return partial(bare, model)


@pytest.fixture(scope="session")
def white() -> bytes:
    """An image that the tiny model calls out of distribution."""
    buffer = io.BytesIO()
    Image.new("L", (SIZE, SIZE), 255).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def run_python() -> Callable[..., str]:
    """Run code in another process: the KServe SDK and tritonclient's gRPC do not fit into one."""

    def run(code: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Ask again and again until a condition holds."""
    return wait_for


@pytest.fixture(scope="session")
def start_in(repository: Path, trusted: Path) -> Callable[..., Served]:
    """Start a server that uses a folder for what it writes: `start_in(folder, ...)`, with the options of `start`."""

    def make(folder: Path, *, serving: Path = repository, **options: Any) -> Served:
        return start_server(folder, serving, trusted=trusted, **options)

    return make


@pytest.fixture
def start(start_in: Callable[..., Served], tmp_path: Path) -> Callable[..., Served]:
    """Start a server in a process of its own: `start(max_in_flight=1)`, `start(predictor=...)` without Triton, or with
    variables, `start(environment=...)`."""
    return partial(start_in, tmp_path)


@pytest.fixture(scope="session")
def stop() -> Callable[[Served], int]:
    """Ask a server to stop; gives its exit code."""
    return stop_server
