"""The life of a server: starting, being told to stop, too much to do, and a Triton that is not there."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError, InputError, IntegrityError
from secondread.serving.front.server import run_transformer
from secondread.serving.local.serve import serve

ROOT = Path(__file__).resolve().parents[3]


def get(url: str, body: bytes | None = None) -> tuple[int, Any, Any]:
    """Status, document and headers."""
    try:
        with urllib.request.urlopen(url, body, timeout=30) as response:
            return response.status, json.load(response), response.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), error.headers


def infer(server: Any, image: bytes) -> tuple[int, Any, Any]:
    data = [base64.b64encode(image).decode()]
    document = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": data}]}
    return get(f"{server.url}/v2/models/secondread/infer", json.dumps(document).encode())


@pytest.fixture
def server(start: Callable[..., Any], stop: Callable[..., int]) -> Iterator[Callable[..., Any]]:
    """Start a server with its own settings; it is stopped at the end."""
    started = []

    def make(**options: Any) -> Any:
        started.append(start(**options))
        return started[-1]

    yield make
    for each in started:
        if each.process.poll() is None:
            stop(each)


def test_readiness_waits_for_triton(server: Callable[..., Any], film: Callable[..., bytes]) -> None:
    alone = server(predictor="127.0.0.1:1")
    assert get(f"{alone.url}/v2/health/live")[0] == 200
    for path in ("/v2/health/ready", "/v2/models/secondread/ready"):
        status, answer, headers = get(alone.url + path)
        assert (status, headers["retry-after"]) == (503, "1")
        assert "not ready" in answer["error"]
    status, answer, _ = infer(alone, film(1))
    assert status == 503
    assert "/v2/health/ready" in answer["error"]


def test_too_many_requests_are_turned_away_at_once(
    server: Callable[..., Any], silent_predictor: str, film: Callable[..., bytes]
) -> None:
    busy = server(predictor=silent_predictor, max_in_flight=2, predictor_timeout_seconds=3.0)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: infer(busy, film(1)), range(5)))
    assert [status for status, _, _ in answers] == [503] * 5
    assert all(headers["retry-after"] == "1" for _, _, headers in answers)
    turned_away = [answer for _, answer, _ in answers if "2 requests are being answered" in answer["error"]]
    waited = [answer for _, answer, _ in answers if "did not answer within 3 s" in answer["error"]]
    assert (len(turned_away), len(waited)) == (3, 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_finished_before_it_stops(
    server: Callable[..., Any],
    silent_predictor: str,
    film: Callable[..., bytes],
    wait_until: Callable[..., None],
    number: signal.Signals,
) -> None:
    busy = server(predictor=silent_predictor, predictor_timeout_seconds=2.0)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(infer, busy, film(1))
        wait_until(lambda: connections_to(busy.process.pid, silent_predictor), seconds=10, what="the request to arrive")
        busy.process.send_signal(number)
        status, document, _ = answer.result(timeout=10)
    assert status == 503
    assert "did not answer within 2 s" in document["error"]
    assert busy.process.wait(timeout=10) == 0


def test_an_answer_is_not_held_back_for_an_acknowledgement(served: Any) -> None:
    host, _, port = served.url.removeprefix("http://").partition(":")
    seconds = []
    with socket.create_connection((host, int(port)), timeout=10) as client:
        for _ in range(20):
            started = time.perf_counter()
            client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: test\r\n\r\n")
            answer = b""
            while b'{"live":true}' not in answer:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
                answer += client.recv(4096)
            seconds.append(time.perf_counter() - started)
    assert min(seconds[5:]) < 0.03  # Linux delays an acknowledgement by 40 ms


def test_killing_the_server_leaves_no_triton(server: Callable[..., Any], wait_until: Callable[..., None]) -> None:
    victim = server()
    family = psutil.Process(victim.process.pid).children(recursive=True)
    assert "tritonserver" in {each.name() for each in family}
    victim.process.kill()
    victim.process.wait()
    wait_until(lambda: not any(each.is_running() for each in family), seconds=20, what="Triton to end")


@pytest.mark.parametrize("taken", ["http", "grpc"])
def test_a_taken_port_is_said_in_one_line(repository: Path, trusted: Path, taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ports = {"http_port": 0, "grpc_port": 0} | {f"{taken}_port": port}
        with pytest.raises(DependencyError, match=rf"cannot listen on 127\.0\.0\.1:{port} .*--{taken}-port"):
            run_transformer(
                repository, "127.0.0.1:1", ServeConfig(**ports), trusted=trusted, on_listening=lambda _: None
            )
        with pytest.raises(DependencyError, match=f"127.0.0.1:{port} .*--{taken}-port"):
            # refused before Triton is thought of
            serve(repository, ServeConfig(**ports), home=Path("/nowhere"), trusted=trusted)


def test_a_folder_without_the_model_names_those_it_has(repository: Path) -> None:
    command = [sys.executable, "-m", "secondread.serving", "--model-dir", str(repository), "--model-name", "oct"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "holds no model 'oct' (it has secondread, secondread-explain)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("serve.max_in_flight=0", "serve.max_in_flight must be above 0"),
        ("serve.url_hosts=pacs", "serve.url_hosts must be a list"),
        ("serve.colour=red", "serve has no setting colour"),
        ("train.epochs=1", "a stage of serve"),
    ],
)
@pytest.mark.parametrize("command", [["secondread.serving"], ["secondread", "serve"]], ids=["pod", "laptop"])
def test_any_setting_is_set_and_a_wrong_one_is_told(command: list[str], setting: str, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command, "--set", setting], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_damaged_graph_is_never_served(repository: Path, trusted: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    graph = copy / "secondread/3/model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    command = [sys.executable, "-m", "secondread.serving", "--model-dir", str(copy), "--http-port=0", "--grpc-port=0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"{graph} is not the graph that was registered" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(IntegrityError, match="is not the graph that was registered"):
        serve(copy, ServeConfig(), home=Path("/nowhere"), trusted=trusted)  # refused before Triton is thought of


def test_a_remote_repository_is_said_to_be_one() -> None:
    with pytest.raises(InputError, match=r"^s3://bucket/secondread/12ab .*on no disk of this machine: copy it"):
        serve(Path("s3://bucket/secondread/12ab"), ServeConfig(), home=Path("/nowhere"), trusted=Path("/nowhere"))


def test_importing_the_server_reads_no_command_line_and_loads_no_training_side() -> None:
    modules = "secondread.serving.local.serve, secondread.serving.predict"
    code = f"import sys; sys.argv += ['--http_port', 'none']; import {modules}"
    show = "print(*sys.argv[1:], *sorted(sys.modules))"
    command = [sys.executable, "-c", f"{code}; {show}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    arguments, loaded = done.stdout.split()[:2], set(done.stdout.split())
    assert arguments == ["--http_port", "none"], done.stderr
    assert "kserve.model_server" in loaded
    assert not {"torch", "lightning", "mlflow", "kfp", "tritonclient.grpc"} & loaded


def connections_to(pid: int, address: str) -> bool:
    """Whether a process has opened a connection to that address."""
    port = int(address.rpartition(":")[2])
    return any(each.raddr and each.raddr.port == port for each in psutil.Process(pid).connections())
