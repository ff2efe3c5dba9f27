"""Clients of the two servers: one image a request over one connection that is kept open."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

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


def load(address: str, requests: Sequence[Request], *, callers: int, seconds: float) -> Load:
    """Ask from several threads, each as soon as it has its answer, for that long.

    Raises:
        DependencyError: a request failed.
    """
    times: list[float] = []
    failures: list[Exception] = []
    started = time.perf_counter()

    def call(first: int) -> None:
        caller = Caller(address)
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
        raise DependencyError(f"{address}: {failures[0]}") from failures[0]
    return Load(tuple(times), len(times) / (time.perf_counter() - started))
