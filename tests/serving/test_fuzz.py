"""Nonsense of every kind is refused politely: no 5xx but a 503 that says when to come back, no crash, no hang.

`make test` sends some hundred requests, `make test-full` ten thousand; the seed is in the name of a test that fails.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from secondread.serving.transformer.sdk import messages

MIB = 1 << 20
LIMIT = MIB  # of the server's requests
PATIENCE = 30.0
FEW, MANY = 300, 10_000
GRPC_ALLOWED = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL"}
ODD_JSON = ("null", "[]", "{}", '""', "-1", "1e999", "true", '"\\ud800"', "[[[[]]]]", '{"a":{"a":{"a":1}}}', "NaN")
ODD_NUMBERS = (0, -1, 2**31, 2**63, 2**64, 10**30, 0.5)
KEYS = ("inputs", "name", "datatype", "shape", "data", "parameters", "binary_data_size", "outputs", "id", "instances")


class Fuzz:
    """Requests that are nearly right, or not at all, from one seed.

    Args:
        images: right ones, to begin with.
        seed: of what is changed.
    """

    def __init__(self, images: list[bytes], seed: int) -> None:
        self._images = images
        self._random = random.Random(seed)

    def rest(self) -> tuple[str, bytes, dict[str, str]]:
        """Path, body and headers."""
        kind = self._random.randrange(6)
        path = "/v2/models/secondread/infer"
        if kind == 0:  # an image that is none, in a request that is right
            return path, *self._binary(self._torn(self._image()))
        if kind == 1:  # JSON of another shape
            return path, self._json(), {}
        if kind == 2:  # bytes that are cut, doubled or changed anywhere
            body, headers = self._binary(self._image())
            return path, self._torn(body), headers
        if kind == 3:  # lengths that lie
            body, headers = self._binary(self._image())
            lie = str(self._random.choice([*ODD_NUMBERS, len(body) + 1, "x", ""]))
            return path, body, {**headers, "Inference-Header-Content-Length": lie}
        if kind == 4:  # the first protocol
            instance = self._random.choice([{"b64": self._text()}, {"image": self._text()}, self._text(), [], None])
            body = json.dumps({"instances": [instance] * self._random.choice([0, 1, 2, 40])}).encode()
            # more than twice the limit is not read to its end, and whoever sends on is cut off
            return "/v1/models/secondread:predict", self._random.choice([body, self._torn(body)])[: 2 * LIMIT], {}
        return path, self._random.randbytes(self._random.randrange(2000)), {}

    def grpc(self) -> bytes:
        """The bytes of a message."""
        tensor = {"name": "image", "datatype": "BYTES", "shape": [self._random.choice([1, 1, 0, -1, 33, 2**62])]}
        image = self._random.choice([self._image(), self._torn(self._image()), b""])
        packed = self._random.choice([struct.pack("<I", len(image)) + image, image, b"", b"\xff" * 8])
        request = messages.ModelInferRequest(
            model_name=self._random.choice(["secondread", "", "other"]),
            inputs=[tensor] * self._random.choice([1, 1, 0, 2]),
            raw_input_contents=[packed] * self._random.choice([1, 1, 0, 2]),
        ).SerializeToString()
        return self._random.choice([request, self._torn(request)])

    def _image(self) -> bytes:
        return self._random.choice(self._images)

    def _torn(self, data: bytes) -> bytes:
        """Cut, changed, doubled or filled at some place."""
        torn = bytearray(data)
        for _ in range(self._random.choice([1, 1, 2, 8])):
            place = self._random.randrange(len(torn) + 1)
            how = self._random.randrange(5)
            if how == 0:
                del torn[place:]
            elif how == 1:
                del torn[place : place + self._random.randrange(64)]
            elif how == 2:
                torn[place : place + 4] = self._random.randbytes(4)
            elif how == 3:
                torn[place:place] = torn[place : place + self._random.randrange(64)]
            else:
                torn[place : place + 1] = bytes([self._random.choice([0, 0x7F, 0x80, 0xFF])])
        return bytes(torn)

    def _binary(self, image: bytes) -> tuple[bytes, dict[str, str]]:
        packed = struct.pack("<I", len(image)) + image
        tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(packed)}}
        head = json.dumps({"inputs": [tensor]}).encode()
        return head + packed, {"Inference-Header-Content-Length": str(len(head))}

    def _json(self) -> bytes:
        """A right document with odd values at odd places."""
        data = [base64.b64encode(self._image()).decode()]
        document: dict[str, Any] = {
            "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": data}],
            "outputs": [{"name": "label", "parameters": {"binary_data": True}}],
            "id": "x",
        }
        target = self._random.choice([document, document["inputs"][0], document["outputs"][0]])
        key = self._random.choice([*target, *KEYS])
        odd = self._random.choice([*ODD_NUMBERS, None, "", [], {}, [None], [[]], "x" * 300, [0] * 50, True])
        target[key] = odd
        text = json.dumps(document)
        if self._random.random() < 0.3:
            text = text.replace('"image"', self._random.choice(ODD_JSON), 1)
        return text.encode()

    def _text(self) -> str:
        return self._random.choice(["", "####", "YQ==", "\u0000", base64.b64encode(self._torn(self._image())).decode()])


@pytest.fixture(scope="module")
def images(film: Callable[..., bytes], shared_data: Path) -> list[bytes]:
    films = sorted((shared_data / "dicom").glob("*.dcm"), key=lambda path: path.stat().st_size)[:1]
    return [film(1), film(2, kind="JPEG"), *(path.read_bytes()[:200_000] for path in films)]


def counts() -> list[Any]:
    return [pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.full)]


@pytest.fixture
def fuzzed(served: Any) -> Iterator[Any]:
    """The server; it answers afterwards, has no bug in its log, and has not kept what it was sent."""
    process = psutil.Process(served.process.pid)
    before, log = process.memory_info().rss, len(served.log.read_text())
    yield served
    with closing(http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=PATIENCE)) as connection:
        connection.request("GET", "/v2/health/ready")
        assert connection.getresponse().status == 200
    assert "Traceback" not in served.log.read_text()[log:]
    assert process.memory_info().rss - before < 200 * MIB


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", counts())
def test_nonsense_over_rest(fuzzed: Any, images: list[bytes], count: int) -> None:
    def send(seed: int) -> tuple[int, int, dict[str, str], bytes]:
        path, body, headers = Fuzz(images, seed).rest()
        with closing(http.client.HTTPConnection(fuzzed.url.removeprefix("http://"), timeout=PATIENCE)) as connection:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return seed, answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()

    statuses = set()
    with ThreadPoolExecutor(4) as pool:
        for seed, status, headers, body in pool.map(send, range(count)):
            statuses.add(status)
            if status == 200:
                continue
            assert status < 500 or (status == 503 and headers["retry-after"]), (seed, status, body)
            document = json.loads(body)
            assert list(document) == ["error"], (seed, body)
            assert 10 < len(document["error"]) < 1000, (seed, body)
    assert {200, 400} <= statuses  # some are right after all


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", counts())
def test_nonsense_over_grpc(fuzzed: Any, images: list[bytes], count: int) -> None:
    codes = set()
    with grpc.insecure_channel(fuzzed.grpc_url) as channel:
        ask = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for seed in range(count):
            call = ask.future(Fuzz(images, seed).grpc(), timeout=PATIENCE)
            code, details = call.code().name, call.details()
            assert code in GRPC_ALLOWED, (seed, code, details)
            # gRPC's own word for bytes that are no message
            assert code != "INTERNAL" or "deserializing" in details, (seed, details)
            codes.add(code)
    assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND"} <= codes
