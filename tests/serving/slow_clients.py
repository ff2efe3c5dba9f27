"""Clients that send a request byte by byte, stop in the middle of one, or never send what they announced."""

from __future__ import annotations

import http.client
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import grpc

_BODY_BYTES = 1000
_PATIENCE_SECONDS = 60.0


class SlowClients:
    """Such clients of a server, inside the block; each begins anew when it is ended.

    Args:
        server: where it listens: `url` and `grpc_url`.
        each: of every kind.
    Attributes:
        statuses: what they were told, in order: HTTP's, or gRPC's by name.
        broken: what ended a client for good; nothing should.
    """

    def __init__(self, server: Any, *, each: int = 2) -> None:
        self._server = server
        self._stop = threading.Event()
        self.statuses: list[str] = []
        self.broken: list[BaseException] = []
        kinds = (self._byte_by_byte, self._half_a_body, self._half_a_head, self._message_that_never_comes)
        self._threads = [threading.Thread(target=self._again, args=(kind,)) for kind in kinds for _ in range(each)]

    def __enter__(self) -> SlowClients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _again(self, kind: Callable[[], str]) -> None:
        try:
            while not self._stop.is_set():
                status = kind()
                if not self._stop.is_set():  # else it was ended here
                    self.statuses.append(status)
        except BaseException as error:
            self.broken.append(error)
            raise

    def _byte_by_byte(self) -> str:
        return self._upload(itertools.repeat(b" ", _BODY_BYTES))

    def _half_a_body(self) -> str:
        return self._upload([b" " * (_BODY_BYTES // 2)])

    def _half_a_head(self) -> str:
        with closing(self._connect()) as client:
            client.sendall(b"POST /v2/models/secondread/infer HTTP/1.1\r\nHost: test\r\nX-Slow: ")
            return _status(client)

    def _message_that_never_comes(self) -> str:
        def never() -> Iterator[bytes]:
            self._stop.wait(_PATIENCE_SECONDS)
            yield from ()

        with grpc.insecure_channel(self._server.grpc_url, options=[("grpc.enable_retries", 0)]) as channel:
            call = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer").future(never())
            call.exception()
            return str(call.code().name)

    def _upload(self, parts: Any) -> str:
        head = f"POST /v2/models/secondread/infer HTTP/1.1\r\nHost: test\r\nContent-Length: {_BODY_BYTES}\r\n\r\n"
        with closing(self._connect()) as client:
            client.sendall(head.encode())
            try:
                for part in parts:
                    client.sendall(part)
                    if self._stop.wait(0.1):
                        break
            except ConnectionError:
                pass  # it was told why before
            return _status(client)

    def _connect(self) -> socket.socket:
        host, _, port = self._server.url.removeprefix("http://").partition(":")
        return socket.create_connection((host, int(port)), timeout=_PATIENCE_SECONDS)


def _status(client: socket.socket) -> str:
    response = http.client.HTTPResponse(client)
    try:
        response.begin()
    except ConnectionError:
        return "cut"
    return str(response.status)
