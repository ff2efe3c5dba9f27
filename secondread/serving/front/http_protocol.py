"""HTTP connections whose requests' heads are bounded in time and size, and whose answers are taken in time.

A client that sends a byte of a head now and then would otherwise hold a connection for ever, and one that sends headers
without an end, before a body or behind it (trailers, which nobody reads), would fill the memory, before any limit of
ours sees the request. Bodies are bounded where they are read. And one that does not read would have its answers kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from secondread.logging import get_logger

_MAX_HEAD_BYTES = 64 << 10  # nginx allows 32 KiB, a mesh adds some
_LINGER_SECONDS = 1.0

log = get_logger(__name__)


def bounded_connections(
    *, head_seconds: float, answer_seconds: float, refused: Callable[[int], None]
) -> type[HttpToolsProtocol]:
    """The protocol for uvicorn.

    Args:
        head_seconds: for a request's head to come, from its first byte; for that first byte, from the connection's
            begin.
        answer_seconds: for an answer to be taken.
        refused: is told the status with which a connection was refused.
    """
    limits = {"head_seconds": head_seconds, "answer_seconds": answer_seconds, "tell": staticmethod(refused)}
    return type("BoundedConnection", (_BoundedConnection,), limits)


class _BoundedConnection(HttpToolsProtocol):
    head_seconds: float
    answer_seconds: float
    tell: Callable[[int], None]

    _deadline: asyncio.TimerHandle | None = None
    _answer_deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0  # since the last body, or part of it
    _moved = False  # on from a head, or within a body
    _in_head = True
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        self._cancel_answer_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._moved = False
        super().data_received(data)
        # what came with the begin of a head may be a body's end, and what came with its end a body's begin
        self._head_bytes = 0 if self._moved else self._head_bytes + len(data)
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the request's head has more than {_MAX_HEAD_BYTES} bytes: send fewer or shorter headers.",
            )

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._cancel_deadline()
        self._in_head, self._moved = False, True
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._moved = True

    def on_body(self, body: bytes) -> None:
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._moved = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._cancel_answer_deadline()
        if self.transport.get_write_buffer_size():
            self._answer_deadline = self.loop.call_later(self.answer_seconds, self._not_taken)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words name no remedy
        self._refuse(HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1 request: see GET /v2 for what is served here.")

    def _expect_head(self) -> None:
        self._cancel_deadline()
        self._in_head = True
        self._deadline = self.loop.call_later(self.head_seconds, self._too_late)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cancel_answer_deadline(self) -> None:
        if self._answer_deadline is not None:
            self._answer_deadline.cancel()
            self._answer_deadline = None

    def _not_taken(self) -> None:
        if self.transport.get_write_buffer_size():
            log.warning("an answer was not taken within %g s: its connection is closed", self.answer_seconds)
            self.transport.abort()

    def _too_late(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request's head did not come within {self.head_seconds:g} s.")

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        """Say it, and close a little later than at once: whoever is cut off while sending never sees why."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._cancel_deadline()
        if self.cycle is not None:  # whoever answers it must write nothing behind this
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        body = orjson.dumps({"error": sentence})
        headers = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + headers.encode() + body)
        self.transport.write_eof()
        self.tell(status)
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)
