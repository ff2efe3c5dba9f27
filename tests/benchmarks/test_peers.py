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

from benchmarks.callers import Caller, load, upload_request, v2_request
from benchmarks.peers import image_folder
from benchmarks.servers import fastapi_server
from secondread.errors import DependencyError
from secondread.model.session import GraphSession


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
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request("POST", request.path, request.body, request.headers)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        result = load(address, [request, upload_request(film(2, kind="JPEG"))], callers=2, seconds=0.2)
        caller = Caller(address)
        with pytest.raises(DependencyError, match="answered 404"):
            caller.ask(v2_request(image))
        caller.close()
    with Image.open(io.BytesIO(image)) as picture:
        pixels = np.asarray(picture.convert("L").resize((32, 32), Image.Resampling.BILINEAR))
    expected = GraphSession(graph).run(pixels[np.newaxis, np.newaxis]).probabilities[0]
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)
    assert answer["label"] == expected.argmax()
    assert len(result.seconds) >= 2
    assert result.rate > 0
    host, _, port = address.partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


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
