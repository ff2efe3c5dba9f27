"""What we are measured against does the work it should, and nothing of it stays running."""

from __future__ import annotations

import http.client
import io
import json
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import servers
from benchmarks.callers import Caller, GrpcCaller, Request, load, upload_request, v2_json_request, v2_request
from benchmarks.peers import image_folder
from benchmarks.serve import MLSERVER_SETTINGS
from benchmarks.servers import MLSERVER_VERSION, MlServerSetting, fastapi_server, mlserver
from benchmarks.workplace import ROOT
from secondread.errors import DependencyError
from secondread.model.session import GraphSession


def by_pillow(graph: Path, *images: bytes) -> np.ndarray:
    """Probabilities (images, classes) of images that Pillow decodes."""
    pixels = []
    for image in images:
        with Image.open(io.BytesIO(image)) as picture:
            pixels.append(np.asarray(picture.convert("L").resize((32, 32), Image.Resampling.BILINEAR)))
    return GraphSession(graph).run(np.stack(pixels)[:, np.newaxis]).probabilities


def answer_of(address: str, request: Request) -> bytes:
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request(request.method, request.path, request.body, request.headers)
    answer = connection.getresponse().read()
    connection.close()
    return answer


def test_the_fastapi_peer_answers_with_the_graph_and_ends(
    tmp_path: Path, tiny_graph: Callable[[Path], None], film: Callable[..., bytes]
) -> None:
    graph = tmp_path / "fp32.onnx"
    tiny_graph(graph)
    image = film(1, kind="JPEG")
    request = upload_request(image)
    with fastapi_server(graph, tmp_path) as server:
        address = server.address
        assert server.cpu_seconds() > 0
        answer = json.loads(answer_of(address, request))
        result = load(address, [request, upload_request(film(2, kind="JPEG"))], callers=2, seconds=0.2)
        caller = Caller(address)
        with pytest.raises(DependencyError, match="answered 404"):
            caller.ask(v2_request([image]))
        caller.close()
    (expected,) = by_pillow(graph, image)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)
    assert answer["label"] == expected.argmax()
    assert len(result.seconds) >= 2
    assert result.rate > 0
    host, _, port = address.partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


@pytest.mark.full
@pytest.mark.parametrize("setting", MLSERVER_SETTINGS, ids=str)
def test_the_mlserver_peer_answers_with_the_graph_and_ends(
    tmp_path: Path, tiny_graph: Callable[[Path], None], film: Callable[..., bytes], setting: MlServerSetting
) -> None:
    graph = tmp_path / "fp32.onnx"
    tiny_graph(graph)
    images = [film(number, kind="JPEG") for number in range(3)]
    request = v2_json_request(images)
    with mlserver(graph, tmp_path, setting) as server:
        about = json.loads(answer_of(server.address, Request("/v2", {}, b"", method="GET")))
        answer = json.loads(answer_of(server.address, request))
        caller = GrpcCaller(server.grpc_address)
        over_grpc = caller.raw(images)
        caller.close()
    assert about["version"] == MLSERVER_VERSION
    expected = by_pillow(graph, *images)
    outputs = {output["name"]: output for output in answer["outputs"]}
    np.testing.assert_allclose(np.reshape(outputs["probabilities"]["data"], (3, 3)), expected, atol=1e-6)
    assert outputs["label"]["data"] == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose(np.frombuffer(over_grpc[1], np.float32).reshape(3, 3), expected, atol=1e-6)
    for address in (server.address, server.grpc_address):
        host, _, port = address.partition(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=5)


def test_mlserver_is_measured_in_the_version_that_is_pinned() -> None:
    pins = (ROOT / "requirements-mlserver.txt").read_text(encoding="utf-8").splitlines()
    assert f"mlserver=={MLSERVER_VERSION}" in pins
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for package in ("numpy", "onnxruntime", "pillow"):
        assert [pin for pin in pins if pin.startswith(f"{package}==")] == [
            pin for pin in constraints if pin.startswith(f"{package}==")
        ], "both sides run the same"


def test_without_its_environment_mlserver_is_passed_over_and_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "MLSERVER", tmp_path / "nothing")
    assert servers.mlserver_missing() == "needs the environment `.venv-mlserver`, which is not there"
    with (
        pytest.raises(DependencyError, match=r"`\.venv-mlserver`, which is not there: run `make bench`"),
        mlserver(tmp_path / "fp32.onnx", tmp_path, MlServerSetting(workers=0, batch=0)),
    ):
        pass


def test_a_server_that_does_not_start_is_said_at_once(tmp_path: Path) -> None:
    with (
        pytest.raises(DependencyError, match=r"benchmarks\.peers\.fastapi_onnxruntime.* did not start"),
        fastapi_server(tmp_path / "nothing.onnx", tmp_path),
    ):
        pass


def test_the_image_folder_peer_reads_every_file_once(tmp_path: Path, film: Callable[..., bytes]) -> None:
    files = []
    for number in range(5):
        files.append(tmp_path / f"{number}.jpg")
        files[-1].write_bytes(film(number, kind="JPEG"))
    batches = list(image_folder.epoch(files, 32, 2))
    assert [batch.shape for batch in batches] == [(2, 1, 32, 32), (2, 1, 32, 32), (1, 1, 32, 32)]
    means = sorted(float(picture.mean()) for batch in batches for picture in batch)
    alone = sorted(float(image_folder.decode(path.read_bytes(), 32).mean()) / 255 for path in files)
    np.testing.assert_allclose(means, alone, atol=1e-5)
    with Image.open(tmp_path / "0.jpg") as picture:
        assert picture.size == (48, 40)
