"""The transformer's line to Triton: V2 over HTTP with raw tensors, on connections that stay open.

Not gRPC: in Python a call that asks nothing takes several times as long there (docs/protocols.md), where the graph runs
for half a millisecond. And not through a library's client, which would make each request's head anew: it is made once
for each number of images, and the answer's head is read by httptools.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from http import HTTPStatus

import httptools
import numpy as np
import numpy.typing as npt
import orjson

from secondread.errors import DependencyError, OverloadedError
from secondread.logging import get_logger
from secondread.serving.observe.observed import stage, trace_header
from secondread.serving.protocol.wire import LENGTH_HEADER
from secondread.serving.transformer.admission import ClientGoneError
from secondread.serving.transformer.retry_budget import RetryBudget

READING = ("probabilities", "ood_score")
EMBEDDING = "embedding"  # for who watches drift, and never in an answer
_READY_SECONDS = 2.0  # patience of a readiness check
_CONNECT_SECONDS = 2.0  # it is a neighbour
_CHUNK_BYTES = 1 << 16

log = get_logger(__name__)


class Predictor:
    """One model on a Triton. May be asked from several threads at once; each has a connection of its own.

    Args:
        address: host:port of its HTTP service.
        name: of the model.
        version: of the model; asked for by number, so that no other one can answer.
        timeout_seconds: for one answer.
        outputs: of the graph, to ask for.
        named: what Triton calls the model, where that is not its name.
    """

    def __init__(
        self,
        address: str,
        name: str,
        version: str,
        *,
        timeout_seconds: float,
        outputs: tuple[str, ...] = READING,
        named: str = "",
    ) -> None:
        self._address, self._name, self._version, self._outputs = address, name, version, outputs
        self._timeout_seconds = timeout_seconds
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()
        self._retries = RetryBudget()
        self._path = f"/v2/models/{named or name}/versions/{version}"
        self._ready = f"GET {self._path}/ready HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
        self._head = lru_cache(self._write_head)
        host, _, port = address.rpartition(":")
        self._told = {
            "http.request.method": "POST",
            "url.full": f"http://{address}{self._path}/infer",
            "server.address": host,
            "server.port": int(port),
            "secondread.model.name": name,
            "secondread.model.version": version,
        }

    def ready(self) -> bool:
        """Whether Triton answers and has this version of the model loaded."""
        try:
            with self._connection(time.monotonic() + _READY_SECONDS) as connection:
                return connection.ask(self._ready).status == HTTPStatus.OK
        except OSError:
            return False

    def infer(
        self, pixels: npt.NDArray[np.uint8], *, seconds: float | None = None
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Ask for the figures of some images.

        Args:
            pixels: uint8 (images, 1, size, size).
            seconds: that whoever asked will wait; None: as long as it takes.
        Returns:
            Output to float32 (images, ...), as Triton gives them.
        Raises:
            OverloadedError: Triton's queue is full, or it did not answer in time.
            ClientGoneError: whoever asked waits no longer.
            DependencyError: Triton is down, or has no such model.
        """
        patience = self._timeout_seconds if seconds is None else min(seconds, self._timeout_seconds)
        deadline = time.monotonic() + patience
        line, head = self._head(pixels.shape)
        try:
            with stage("predict", dict(self._told)) as told:
                request = b"".join((line, trace_header(), head, pixels.tobytes()))
                answer = self._ask(request, deadline)
                told["http.response.status_code"] = answer.status
        except TimeoutError as error:
            if time.monotonic() < deadline:
                raise self._failure(f"there is no connection within {_CONNECT_SECONDS:g} s") from error
            if patience < self._timeout_seconds:
                raise ClientGoneError("the client's deadline passed.") from error
            log.error("Triton at %s did not answer within %g s", self._address, patience)
            raise OverloadedError(
                f"the model server did not answer within {self._timeout_seconds:g} s. Try again."
            ) from error
        except OSError as error:
            raise self._failure(str(error)) from error
        if answer.status != HTTPStatus.OK:
            if answer.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
                raise OverloadedError("the model server's queue is full. Try again.")
            raise self._failure(f"{answer.status} {bytes(answer.body[:200])!r}")
        return answer.tensors()

    def _ask(self, request: bytes, deadline: float) -> _Answer:
        """Send a request; once more on a fresh connection if Triton had just closed the one that was kept open.

        A run of a graph changes nothing, so that asking twice does no harm.
        """
        try:
            with self._connection(deadline) as connection:
                answer = connection.ask(request)
        except _ClosedMeanwhileError:
            if not self._retries.take():
                raise
            with self._connection(deadline, fresh=True) as connection:
                return connection.ask(request)
        self._retries.earn()
        return answer

    @contextlib.contextmanager
    def _connection(self, deadline: float, *, fresh: bool = False) -> Iterator[_Connection]:
        """One that nobody else uses; it is kept for the next request unless something went wrong."""
        with self._lock:
            connection = self._idle.pop() if self._idle and not fresh else None
        if connection is None or not connection.is_open():
            connection = _Connection(self._address, min(_CONNECT_SECONDS, deadline - time.monotonic()))
        connection.deadline = deadline
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)

    def _write_head(self, shape: tuple[int, ...]) -> tuple[bytes, bytes]:
        """The request's line, and its headers with the JSON part of its body."""
        size = int(np.prod(shape))
        tensor = {"name": "pixels", "datatype": "UINT8", "shape": shape, "parameters": {"binary_data_size": size}}
        outputs = [{"name": name, "parameters": {"binary_data": True}} for name in self._outputs]
        text = orjson.dumps({"inputs": [tensor], "outputs": outputs})
        head = (
            f"Host: {self._address}\r\n{LENGTH_HEADER}: {len(text)}\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {len(text) + size}\r\n\r\n"
        )
        return f"POST {self._path}/infer HTTP/1.1\r\n".encode(), head.encode() + text

    def _failure(self, why: str) -> DependencyError:
        log.error("Triton at %s: %s", self._address, why)
        return DependencyError(
            f"the model server does not answer for {self._name} version {self._version}. "
            "Try again once /v2/health/ready is true."
        )

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


class _Answer:
    """What came of one request, as httptools reads it."""

    def __init__(self) -> None:
        self.status = 0
        self.json_length = 0
        self.body = bytearray()
        self.complete = False
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == LENGTH_HEADER.encode():
            self.json_length = int(value)

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True

    def tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """The outputs by name."""
        view = memoryview(bytes(self.body))
        found, offset = {}, self.json_length
        for output in orjson.loads(view[: self.json_length])["outputs"]:
            end = offset + output["parameters"]["binary_data_size"]
            found[output["name"]] = np.frombuffer(view[offset:end], np.float32).reshape(output["shape"])
            offset = end
        return found


class _ClosedMeanwhileError(ConnectionError):
    """A connection that had answered before was closed before a byte of the next answer came."""


class _Connection:
    """One connection, on which one request is under way at a time.

    Attributes:
        deadline: of the request, on the monotonic clock.
    """

    def __init__(self, address: str, seconds: float) -> None:
        host, _, port = address.rpartition(":")
        self.deadline = 0.0
        self._has_answered = False
        self._socket = socket.create_connection((host, int(port)), timeout=max(seconds, 0.001))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def is_open(self) -> bool:
        """Whether Triton has not closed it meanwhile; an idle one has nothing to read, not even its end."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        self.close()
        return False

    def ask(self, request: bytes) -> _Answer:
        """Send a request and wait for its answer.

        Raises:
            TimeoutError: it did not come by the deadline.
            OSError: Triton ended, or what came is no HTTP.
        """
        answer = _Answer()
        data = self._first(request)
        while True:
            try:
                answer.parser.feed_data(data)
            except httptools.HttpParserError as error:
                raise ConnectionError(f"what it sent is no HTTP ({error})") from error
            if answer.complete:
                self._has_answered = True
                return answer
            data = self._receive()

    def _first(self, request: bytes) -> bytes:
        """Send a request, and wait for the begin of its answer."""
        try:
            self._wait()
            self._socket.sendall(request)
            return self._receive()
        except ConnectionError as error:
            if self._has_answered:
                raise _ClosedMeanwhileError(str(error)) from error
            raise

    def _receive(self) -> bytes:
        self._wait()
        data = self._socket.recv(_CHUNK_BYTES)
        if not data:
            raise ConnectionError("it closed the connection")
        return data

    def _wait(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)

    def close(self) -> None:
        """End it."""
        self._socket.close()
