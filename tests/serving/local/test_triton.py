"""The local Triton gives onnxruntime's figures, says why it does not start, and never outlives who started it."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tritonclient import http as triton_http
from tritonclient.utils import InferenceServerException

from secondread.errors import DependencyError, InputError
from secondread.model.folder import ModelFolder
from secondread.model.session import GraphSession
from secondread.serving.local.triton import LocalTriton, _free_ports

START_AND_WAIT = """
import sys, threading
from pathlib import Path
from secondread.serving.local.triton import LocalTriton
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
    requests = [random_pixels(seed, 8 + seed % 9) for seed in range(40)]  # whose runs take a while
    session = GraphSession(model.graph_path())
    expected = [session.run(pixels).probabilities for pixels in requests]
    before = counts(triton)

    def together() -> bool:
        """What waited while the graph ran went into its next run; where two requests have met."""
        answered, _, runs = (now - was for now, was in zip(counts(triton), before, strict=True))
        return runs < answered

    with ThreadPoolExecutor(16) as pool:
        for _ in range(50):
            answers = list(pool.map(lambda pixels: ask(triton.http_address, pixels)[0], requests))
            for answer, right in zip(answers, expected, strict=True):
                np.testing.assert_allclose(answer, right, atol=1e-4)
            if together():
                return
    pytest.fail("2,000 requests of 16 callers, and no two of them in one run")


def test_it_listens_on_this_machine_only(triton: LocalTriton) -> None:
    server = next(child for child in children(os.getpid()) if child.name() == "tritonserver")
    listening = {
        each.laddr.ip.removeprefix("::ffff:") for each in server.connections() if each.status == psutil.CONN_LISTEN
    }
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_threads_are_those_asked_for(repository: Path, tmp_path: Path) -> None:
    """Of a run's threads one is the caller's: each graph that is loaded has the others for itself."""
    there = {}
    for threads in (1, 3):
        with LocalTriton(repository, home=tmp_path, threads=threads) as server:
            there[threads] = server_process(server).num_threads()
    assert there[3] - there[1] == 2 * len(list(repository.glob("*/config.pbtxt")))


def test_stopping_leaves_nothing(repository: Path, tmp_path: Path) -> None:
    server = LocalTriton(repository, home=tmp_path)
    server.start()
    started = server_process(server)
    server.stop()
    server.stop()
    assert not started.is_running()
    assert not server.log_file.exists()


def test_a_server_that_ends_is_started_again_on_the_same_ports(
    repository: Path, tmp_path: Path, model: ModelFolder, wait_until: Callable[..., None]
) -> None:
    pixels = random_pixels(0, 2)
    expected = GraphSession(model.graph_path()).run(pixels).probabilities
    with LocalTriton(repository, home=tmp_path) as server:
        address = server.http_address
        for _ in range(2):
            victim = server_process(server)
            victim.kill()
            wait_until(lambda: server.ready() and server_process(server) != victim, seconds=20, what="another server")  # noqa: B023
            assert server.http_address == address
            np.testing.assert_allclose(ask(address, pixels)[0], expected, atol=1e-4)
        last = server_process(server)
    assert not alive(last)


def test_a_server_that_cannot_start_any_more_is_tried_until_it_can(
    repository: Path, tmp_path: Path, wait_until: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    copied = tmp_path / "models"
    shutil.copytree(repository, copied)
    graph = copied / "secondread" / "3" / "model.onnx"
    whole = graph.read_bytes()
    with LocalTriton(copied, home=tmp_path) as server:
        graph.write_bytes(b"no graph")
        server_process(server).kill()
        wait_until(lambda: "did not start" in caplog.text, seconds=20, what="a start in vain")
        graph.write_bytes(whole)
        wait_until(server.ready, seconds=30, what="another server")


def test_neither_a_log_that_is_gone_nor_a_machine_without_memory_is_the_end(
    repository: Path,
    tmp_path: Path,
    wait_until: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    popen, failed = subprocess.Popen, threading.Event()

    def once_without_memory(command: list[str], **options: Any) -> Any:
        if command[0] == "setpriv" and not failed.is_set():
            failed.set()
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return popen(command, **options)

    with LocalTriton(repository, home=tmp_path) as server:
        shutil.rmtree(server.log_file.parent)
        monkeypatch.setattr(subprocess, "Popen", once_without_memory)
        victim = server_process(server)
        victim.kill()
        wait_until(lambda: not alive(victim) and failed.is_set() and server.ready(), seconds=30, what="another server")
    assert "its log is gone" in caplog.text
    assert "Triton cannot be started ([Errno 12] Cannot allocate memory)" in caplog.text


def test_stopping_does_not_wait_for_a_server_that_cannot_start(repository: Path, tmp_path: Path) -> None:
    copied = tmp_path / "models"
    shutil.copytree(repository, copied)
    with LocalTriton(copied, home=tmp_path) as server:
        shutil.rmtree(copied)
        server_process(server).kill()
    assert not [child for child in children(os.getpid()) if is_ours(child, copied)]


def test_a_kill_leaves_no_server_behind(repository: Path, tmp_path: Path, wait_until: Callable[..., None]) -> None:
    arguments = [sys.executable, "-c", START_AND_WAIT, str(repository), str(tmp_path)]
    parent = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        family = children(parent.pid)
        assert {"tritonserver"} == {child.name() for child in family}
        parent.send_signal(signal.SIGKILL)
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
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        choices = iter([[other.getsockname()[1], *_free_ports(2)], _free_ports(3)])
        monkeypatch.setattr("secondread.serving.local.triton._free_ports", lambda _: next(choices))
        with LocalTriton(repository, home=tmp_path) as server:
            assert server.ready()
            victim = server_process(server)
            victim.kill()
            wait_until(lambda: not alive(victim) and server.ready(), seconds=20, what="another server")
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


def test_a_request_that_fails_is_told_why_and_the_next_one_is_answered(triton: LocalTriton) -> None:
    with pytest.raises(InferenceServerException, match="pixels"):
        ask(triton.http_address, np.zeros((1, 1, 31, 32), np.uint8))
    ask(triton.http_address, random_pixels(0, 1))


def test_it_counts_what_it_answers(triton: LocalTriton) -> None:
    before = counts(triton)
    ask(triton.http_address, random_pixels(0, 5))
    assert [now - was for now, was in zip(counts(triton), before, strict=True)] == [1, 5, 1]


def counts(triton: LocalTriton) -> list[float]:
    """Requests answered, images in them, and runs of the graph, as its metrics say."""
    with urllib.request.urlopen(f"http://{triton.metrics_address}/metrics") as response:
        lines = response.read().decode().splitlines()
    names = ("nv_inference_request_success", "nv_inference_count", "nv_inference_exec_count")
    return [
        sum(float(line.split()[-1]) for line in lines if line.startswith(f'{name}{{model="secondread"'))
        for name in names
    ]


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def server_process(server: LocalTriton) -> psutil.Process:
    """Of one of the servers that this process has started."""
    port = server.http_address.rpartition(":")[2]
    return next(child for child in children(os.getpid()) if f"--http-port={port}" in child.cmdline())


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
