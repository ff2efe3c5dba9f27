"""The local Triton gives onnxruntime's figures, says why it does not start, and never outlives who started it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tritonclient import http as triton_http

from secondread.errors import DependencyError, InputError
from secondread.model.folder import ModelFolder
from secondread.model.session import GraphSession
from secondread.serving.triton import LocalTriton, TritonInstallation, _free_ports

START_AND_WAIT = """
import sys, threading
from pathlib import Path
from secondread.serving.triton import LocalTriton
triton = LocalTriton(Path(sys.argv[1]), home=Path(sys.argv[2]))
triton.start()
print(triton.http_address, flush=True)
threading.Event().wait()
"""


@pytest.fixture(scope="module")
def triton(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with LocalTriton(repository, home=tmp_path_factory.mktemp("home")) as server:
        yield server


def ask(address: str, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    client = triton_http.InferenceServerClient(address)
    try:
        tensor = triton_http.InferInput("pixels", list(pixels.shape), "UINT8")
        tensor.set_data_from_numpy(pixels)
        result = client.infer("secondread", [tensor])
        return tuple(result.as_numpy(name) for name in ("probabilities", "embedding", "ood_score"))
    finally:
        client.close()


def random_pixels(seed: int, images: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (images, 1, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize("images", [1, 5, 32])
def test_every_output_is_what_onnxruntime_gives(triton: LocalTriton, model: ModelFolder, images: int) -> None:
    pixels = random_pixels(images, images)
    bare = GraphSession(model.graph_path()).run(pixels)
    probabilities, embedding, ood_score = ask(triton.http_address, pixels)
    np.testing.assert_allclose(probabilities, bare.probabilities, atol=1e-4)
    np.testing.assert_allclose(embedding, bare.embedding, atol=1e-4)
    np.testing.assert_allclose(ood_score, bare.ood_score[:, None], atol=1e-4)


def test_requests_that_are_batched_together_each_get_their_own_answer(triton: LocalTriton, model: ModelFolder) -> None:
    requests = [random_pixels(seed, 1 + seed % 3) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda pixels: ask(triton.http_address, pixels)[0], requests))
    session = GraphSession(model.graph_path())
    for pixels, answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer, session.run(pixels).probabilities, atol=1e-4)


def test_it_listens_on_this_machine_only(triton: LocalTriton) -> None:
    server = next(child for child in children(os.getpid()) if child.name() == "tritonserver")
    listening = {
        each.laddr.ip.removeprefix("::ffff:") for each in server.connections() if each.status == psutil.CONN_LISTEN
    }
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_threads_are_those_asked_for(repository: Path, tmp_path: Path) -> None:
    with LocalTriton(repository, home=tmp_path, threads=3):
        backend = next(child for child in children(os.getpid()) if is_backend(child) and is_ours(child, tmp_path))
        assert backend.environ()["SECONDREAD_TRITON_THREADS"] == "3"


def test_stopping_leaves_nothing(repository: Path, tmp_path: Path) -> None:
    server = LocalTriton(repository, home=tmp_path)
    server.start()
    started = [child for child in children(os.getpid()) if is_ours(child, tmp_path)]
    assert len(started) == 3  # guard, server, backend
    prefix = next(each.split("=")[2] for each in started[0].cmdline() if "shm-region-prefix-name" in each)
    assert list(Path("/dev/shm").glob(f"{prefix}*"))  # noqa: S108
    server.stop()
    server.stop()
    assert not any(child.is_running() for child in started)
    assert not list(Path("/dev/shm").glob(f"{prefix}*"))  # noqa: S108
    assert not server.log_file.exists()


@pytest.mark.parametrize("victim", ["parent", "guard"])
def test_a_kill_leaves_no_server_behind(
    repository: Path, tmp_path: Path, wait_until: Callable[..., None], victim: str
) -> None:
    arguments = [sys.executable, "-c", START_AND_WAIT, str(repository), str(tmp_path)]
    parent = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        family = children(parent.pid)
        assert {"tritonserver"} < {child.name() for child in family}
        guard = psutil.Process(parent.pid).children()[0]
        (parent if victim == "parent" else guard).send_signal(signal.SIGKILL)
        wait_until(lambda: not any(alive(child) for child in family), seconds=20, what="the server to end")
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_a_model_that_does_not_load_is_said_in_one_line(repository: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(repository, broken)
    (broken / "secondread" / "3" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(DependencyError, match=r"Triton did not start: .*model\.onnx") as caught:
        LocalTriton(broken, home=tmp_path).start()
    assert "\n" not in str(caught.value)
    assert not [child for child in children(os.getpid()) if is_ours(child, tmp_path)]


def test_a_port_that_was_taken_meanwhile_is_not_the_end(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        choices = iter([[other.getsockname()[1], *_free_ports(2)], _free_ports(3)])
        monkeypatch.setattr("secondread.serving.triton._free_ports", lambda _: next(choices))
        with LocalTriton(repository, home=tmp_path) as server:
            assert server.ready()
    assert next(choices, None) is None


def test_not_being_ready_in_time_is_said(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match=r"not ready after 0\.001 s"):
        LocalTriton(repository, home=tmp_path, start_timeout_seconds=0.001).start()
    assert not [child for child in children(os.getpid()) if is_ours(child, tmp_path)]


def test_a_missing_installation_says_how_to_get_it(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match=r"run scripts/setup-triton\.sh") as caught:
        LocalTriton(repository, home=tmp_path, environment=tmp_path / "none").start()
    assert caught.value.exit_code == 3


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no model repository"):
        LocalTriton(tmp_path, home=tmp_path).start()


def test_the_backend_imports_nothing_of_the_library() -> None:
    backend = Path(__file__).parents[2] / "secondread/serving/triton_backend/model.py"
    assert "import secondread" not in backend.read_text()
    assert "from secondread" not in backend.read_text()


def test_the_installation_is_complete() -> None:
    installation = TritonInstallation.find()
    assert all(path.is_file() for path in [installation.server, *installation.python_backend_files()])


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def is_backend(process: psutil.Process) -> bool:
    return process.cmdline()[0].endswith("triton_python_backend_stub")


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_ours(process: psutil.Process, home: Path) -> bool:
    """Whether a process belongs to the server that has its files there."""
    try:
        return any(str(home) in argument for argument in process.cmdline())
    except psutil.NoSuchProcess:
        return False
