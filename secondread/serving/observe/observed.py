"""What is told of each request, however it came: a line in the log, and a span where OpenTelemetry is on.

Nothing in it was written by a client. A path is told where it is one of those that are served, since any other may hold
what should not be here; of an error, its type and not its sentence. No address either: behind a gateway it is the
gateway's, and in front of one it is that of somebody's desk.

Source: Elastic Common Schema 8, and OpenTelemetry's names for `rpc.*`, for which ECS has none.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from secondread.logging import get_logger

if TYPE_CHECKING:
    from secondread.serving.observe.tracing import Tracing

Fields = dict[str, Any]

STATUS = ("http.response.status_code", "rpc.response.status_code")
_BUGS = (HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", "UNKNOWN")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

log = get_logger(__name__)


@dataclass(frozen=True)
class _Request:
    """One that is being answered."""

    fields: Fields
    tracing: Tracing | None


_CURRENT: ContextVar[_Request | None] = ContextVar("request", default=None)


def note(fields: Fields) -> None:
    """Say more of the request that is being answered, if it is told of.

    Args:
        fields: by their ECS name.
    """
    if (request := _CURRENT.get()) is not None:
        request.fields.update(fields)


def stage(name: str, told: Fields) -> AbstractContextManager[Fields]:
    """A span for a part of the request that is being answered, if it is traced.

    Args:
        name: of the stage.
        told: attributes, to which the block may add.
    """
    request = _CURRENT.get()
    return nullcontext(told) if request is None or request.tracing is None else request.tracing.stage(name, told)


def trace_header() -> bytes:
    """The line of an HTTP head that takes the trace on to the next server; empty where there is none."""
    request = _CURRENT.get()
    return request.tracing.header() if request is not None and request.tracing is not None else b""


class Observer:
    """Tells of requests.

    Args:
        log_requests: whether each has a line in the log.
        tracing: makes spans; None: there are none.
    """

    def __init__(self, *, log_requests: bool, tracing: Tracing | None) -> None:
        self._log_requests, self._tracing = log_requests, tracing

    @contextmanager
    def request(
        self,
        title: str,
        fields: Fields,
        traceparent: str,
        *,
        reads_images: bool,
        later: Callable[[Callable[[], None]], object] = lambda write: write(),
    ) -> Iterator[None]:
        """Tell of the request that is answered inside the block.

        Args:
            title: for people; of the span too.
            fields: what is known of it before; the block adds its status, under one of `STATUS`.
            traceparent: header of that name, or empty.
            reads_images: or only asks how the server is: that is not traced, and logged as debug if it goes well.
            later: has the line written once the answer is on its way.
        """
        tracing = self._tracing if reads_images else None
        token = _CURRENT.set(_Request(fields, tracing))
        try:
            with tracing.request(title, fields, traceparent) if tracing else nullcontext(), _timed(fields):
                if tracing is None and (found := _TRACEPARENT.fullmatch(traceparent)):
                    fields["trace.id"] = found[1]
                yield
        finally:
            _CURRENT.reset(token)
            later(partial(self._write, title, fields, reads_images=reads_images))

    def refused(self, status: int) -> None:
        """Tell of a connection that was refused before a request had come.

        Args:
            status: of HTTP.
        """
        self._write("no request", {"http.response.status_code": status}, reads_images=False)

    def _write(self, title: str, fields: Fields, *, reads_images: bool) -> None:
        status = status_of(fields)
        level = logging.WARNING
        if status in _BUGS:
            level = logging.ERROR
        elif _is_fine(status):
            level = logging.INFO if reads_images else logging.DEBUG
        if self._log_requests and log.isEnabledFor(level):
            milliseconds = fields.get("event.duration", 0) / 1e6
            log.log(level, "%s: %s in %.1f ms", title, status, milliseconds, extra={"fields": fields})


@contextmanager
def _timed(fields: Fields) -> Iterator[None]:
    started = time.perf_counter_ns()
    try:
        yield
    finally:
        fields["event.duration"] = time.perf_counter_ns() - started
        fields["event.outcome"] = "success" if _is_fine(status_of(fields)) else "failure"
        if fields["event.outcome"] == "failure":
            fields.setdefault("error.type", str(status_of(fields)))


def status_of(fields: Fields) -> int | str:
    """Of a request, as the request's own protocol names it; without one, nothing was answered."""
    found: int | str = next((fields[name] for name in STATUS if name in fields), HTTPStatus.INTERNAL_SERVER_ERROR)
    return found


def _is_fine(status: int | str) -> bool:
    return status < HTTPStatus.BAD_REQUEST if isinstance(status, int) else status == "OK"
