"""Clients of the servers that are measured: one request at a time over one connection that is kept open."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Any

import grpc
import numpy as np

from secondread.errors import DependencyError
from secondread.serving.protocol import contract

_BOUNDARY = "images-of-the-benchmark"
_INFER = "/v2/models/secondread/infer"


@dataclass(frozen=True)
class Request:
    """One request, ready to be sent."""

    path: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"


def v2_request(images: Sequence[bytes]) -> Request:
    """The inference API's, with the binary extension."""
    packed = contract.to_packed(images)
    head = json.dumps({"inputs": [_tensor(images) | {"parameters": {"binary_data_size": len(packed)}}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    return Request(_INFER, headers, head + packed)


def v2_json_request(images: Sequence[bytes]) -> Request:
    """The inference API's, as JSON with base64."""
    body = {"inputs": [_tensor(images) | {"data": [base64.b64encode(image).decode() for image in images]}]}
    return Request(_INFER, {"Content-Type": "application/json"}, json.dumps(body).encode())


def v1_request(images: Sequence[bytes]) -> Request:
    """KServe's first protocol's."""
    body = {"instances": [{"image": {"b64": base64.b64encode(image).decode()}} for image in images]}
    return Request("/v1/models/secondread:predict", {"Content-Type": "application/json"}, json.dumps(body).encode())


def _tensor(images: Sequence[bytes]) -> dict[str, Any]:
    return {"name": contract.INPUT, "datatype": "BYTES", "shape": [len(images)]}


def upload_request(image: bytes) -> Request:
    """An uploaded file in a form, as browsers and FastAPI have it."""
    head = 'Content-Disposition: form-data; name="file"; filename="film.jpg"\r\nContent-Type: image/jpeg'
    body = b"".join([f"--{_BOUNDARY}\r\n{head}\r\n\r\n".encode(), image, f"\r\n--{_BOUNDARY}--\r\n".encode()])
    return Request("/predict", {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}, body)


class Caller:
    """One client of one server."""

    def __init__(self, address: str) -> None:
        host, _, port = address.partition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=60)

    def ask(self, request: Request) -> float:
        """Seconds until the whole answer was there.

        Raises:
            DependencyError: the answer is no 200; a figure with failures in it says nothing.
        """
        start = time.perf_counter()
        self._connection.request(request.method, request.path, request.body, request.headers)
        response = self._connection.getresponse()
        answer = response.read()
        seconds = time.perf_counter() - start
        if response.status != http.client.OK:
            raise DependencyError(f"{request.path} answered {response.status}: {answer[:300]!r}")
        return seconds

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@dataclass(frozen=True)
class Load:
    """What came of some callers at the same time.

    Attributes:
        seconds: of each request.
        rate: answers a second, all callers together.
    """

    seconds: tuple[float, ...]
    rate: float

    @property
    def p99_ms(self) -> float:
        """Milliseconds within which 99 of 100 requests were answered."""
        return float(1e3 * np.percentile(self.seconds, 99, method="inverted_cdf"))


class GrpcCaller:
    """One client of a server over gRPC: ours, or another one that takes `image` BYTES as the model `secondread`."""

    def __init__(self, address: str) -> None:
        # the KServe SDK's messages: those of tritonclient have the same names, and a process can load only one of both
        from secondread.serving.transformer.sdk import GRPCInferenceServiceStub, messages

        self._client = grpc.insecure_channel(address)
        self._infer = GRPCInferenceServiceStub(self._client).ModelInfer
        self._request = messages.ModelInferRequest

    def ask(self, images: Sequence[bytes]) -> float:
        """Seconds until the whole answer to some images was there.

        Raises:
            DependencyError: it was refused; a figure with failures in it says nothing.
        """
        start = time.perf_counter()
        self.raw(images)
        return time.perf_counter() - start

    def raw(self, images: Sequence[bytes]) -> list[bytes]:
        """The answer's outputs as they come, in their order.

        Raises:
            DependencyError: it was refused.
        """
        packed = contract.to_packed(images)
        request = self._request(model_name="secondread", inputs=[_tensor(images)], raw_input_contents=[packed])
        try:
            return list(self._infer(request).raw_output_contents)
        except grpc.RpcError as error:
            raise DependencyError(f"gRPC answered {error.code().name}: {error.details()}") from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def load(address: str, requests: Sequence[Request], *, callers: int, seconds: float) -> Load:
    """Ask over HTTP from several threads, each as soon as it has its answer, for that long.

    Raises:
        DependencyError: a request failed.
    """
    return _load(partial(Caller, address), requests, callers=callers, seconds=seconds)


def grpc_load(address: str, requests: Sequence[Sequence[bytes]], *, callers: int, seconds: float) -> Load:
    """The same over gRPC, with the images of each request.

    Raises:
        DependencyError: a request failed.
    """
    return _load(partial(GrpcCaller, address), requests, callers=callers, seconds=seconds)


def _load(make: Callable[[], Any], requests: Sequence[Any], *, callers: int, seconds: float) -> Load:
    times: list[float] = []
    failures: list[Exception] = []
    started = time.perf_counter()

    def call(first: int) -> None:
        caller = make()
        try:
            for request in islice(cycle(requests), first, None):
                times.append(caller.ask(request))
                if time.perf_counter() - started > seconds:
                    return
        except (DependencyError, OSError, http.client.HTTPException) as error:
            failures.append(error)
        finally:
            caller.close()

    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise DependencyError(f"a request failed: {failures[0]}") from failures[0]
    return Load(tuple(times), len(times) / (time.perf_counter() - started))
