"""Spans of requests, sent over OTLP/HTTP by OpenTelemetry. Imported only where its variables say where to.

Of whoever asks, the header `traceparent` alone is taken over: `tracestate` and `baggage` may hold any text.

Source: https://www.w3.org/TR/trace-context/ and OpenTelemetry's semantic conventions of HTTP and RPC.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http import HTTPStatus

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from secondread import __version__
from secondread.serving.observe.observed import Fields, status_of

_FLUSH_SECONDS = 3.0  # for what was not sent yet, when told to stop
_RENAMED = {"http.request.body.bytes": "http.request.body.size", "http.response.body.bytes": "http.response.body.size"}
_OF_THE_LOG = ("event.duration", "event.outcome", "trace.id")  # which a span has of its own
# Which of gRPC's statuses are errors of the server, as OpenTelemetry has it; of HTTP's, those from 500 on.
_SERVER_ERRORS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
_HEADER = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans. Those that cannot be sent are dropped after a while: no request waits for a collector.

    Where to, how often, which ones, and under what name is said by OpenTelemetry's own variables, OTEL_*.
    """

    def __init__(self) -> None:
        resource = Resource({"service.name": "secondread", "service.version": __version__})
        resource = Resource.create().merge(resource).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("secondread", __version__)

    @contextmanager
    def request(self, title: str, fields: Fields, traceparent: str) -> Iterator[None]:
        """A span for a request, below its client's.

        Args:
            title: of the span.
            fields: of the request, by ECS name; those that are there at its end become attributes. Gets `trace.id`.
            traceparent: header of that name, or empty.
        """
        parent = _HEADER.extract({"traceparent": traceparent})
        with self._span(title, SpanKind.SERVER, parent) as span:
            fields["trace.id"] = trace.format_trace_id(span.get_span_context().trace_id)
            try:
                yield
            finally:
                told = {_RENAMED.get(name, name): value for name, value in fields.items() if name not in _OF_THE_LOG}
                if "http.request.method" in fields:
                    told["url.scheme"] = "http"
                if "url.path" in fields:
                    told["http.route"] = fields["url.path"]
                span.set_attributes(told)
                status = status_of(fields)
                if status >= HTTPStatus.INTERNAL_SERVER_ERROR if isinstance(status, int) else status in _SERVER_ERRORS:
                    span.set_status(StatusCode.ERROR)

    @contextmanager
    def stage(self, name: str, told: Fields) -> Iterator[Fields]:
        """A span for a part of the request.

        Args:
            name: of the stage; `predict` is the call of another server.
            told: its attributes, to which the block may add.
        """
        with self._span(name, SpanKind.CLIENT if name == "predict" else SpanKind.INTERNAL) as span:
            try:
                yield told
            except Exception as error:
                told["error.type"] = type(error).__name__
                span.set_status(StatusCode.ERROR)
                raise
            finally:
                span.set_attributes(told)

    def _span(self, title: str, kind: SpanKind, parent: Context | None = None) -> AbstractContextManager[trace.Span]:
        # an exception's own words may quote what a client sent
        return self._tracer.start_as_current_span(
            title, parent, kind, record_exception=False, set_status_on_exception=False
        )

    def header(self) -> bytes:
        """The line of an HTTP head that makes what another server does a part of the span that is open here."""
        carrier: dict[str, str] = {}
        _HEADER.inject(carrier)
        return f"traceparent: {carrier['traceparent']}\r\n".encode() if "traceparent" in carrier else b""

    def close(self) -> None:
        """Send what is left, for some seconds at most."""
        flush = threading.Thread(target=self._provider.shutdown, name="flush-spans", daemon=True)
        flush.start()
        flush.join(_FLUSH_SECONDS)
