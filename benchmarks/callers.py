"""Clients of the two servers: one image a request over one connection that is kept open."""

from __future__ import annotations

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

from secondread.errors import DependencyError
from secondread.serving import contract

_BOUNDARY = "images-of-the-benchmark"


@dataclass(frozen=True)
class Request:
    """One request, ready to be sent."""

    path: str
    headers: dict[str, str]
    body: bytes


def v2_request(image: bytes) -> Request:
    """The inference API's, with the binary extension."""
    packed = contract.to_packed([image])
    tensor = {"name": contract.INPUT, "datatype": "BYTES", "shape": [1]}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(packed)}}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    return Request("/v2/models/secondread/infer", headers, head + packed)


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
        self._connection.request("POST", request.path, request.body, request.headers)
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


class GrpcCaller:
    """One client of our server over gRPC."""

    def __init__(self, address: str) -> None:
        # the KServe SDK's messages: those of tritonclient have the same names, and a process can load only one of both
        from secondread.serving.sdk import GRPCInferenceServiceStub, messages

        self._client = grpc.insecure_channel(address)
        self._infer = GRPCInferenceServiceStub(self._client).ModelInfer
        self._request = messages.ModelInferRequest

    def ask(self, image: bytes) -> float:
        """Seconds until the whole answer was there.

        Raises:
            DependencyError: it was refused; a figure with failures in it says nothing.
        """
        start = time.perf_counter()
        tensor = {"name": contract.INPUT, "datatype": "BYTES", "shape": [1]}
        packed = contract.to_packed([image])
        try:
            self._infer(self._request(model_name="secondread", inputs=[tensor], raw_input_contents=[packed]))
        except grpc.RpcError as error:
            raise DependencyError(f"gRPC answered {error.code().name}: {error.details()}") from error
        return time.perf_counter() - start

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def load(address: str, requests: Sequence[Request], *, callers: int, seconds: float) -> Load:
    """Ask over HTTP from several threads, each as soon as it has its answer, for that long.

    Raises:
        DependencyError: a request failed.
    """
    return _load(partial(Caller, address), requests, callers=callers, seconds=seconds)


def grpc_load(address: str, images: Sequence[bytes], *, callers: int, seconds: float) -> Load:
    """The same over gRPC.

    Raises:
        DependencyError: a request failed.
    """
    return _load(partial(GrpcCaller, address), images, callers=callers, seconds=seconds)


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
