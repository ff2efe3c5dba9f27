"""Where requests are watched: around the application, around each gRPC call, and where a connection is refused."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import grpc
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from secondread.serving.observe.observed import Fields, Observer

_READS_IMAGES = "/inference.GRPCInferenceService/ModelInfer"


class ObservedApp:
    """An application, each of whose requests is told of.

    Args:
        app: that answers.
        observer: that tells.
        paths: that are served; no other is told.
    """

    def __init__(self, app: ASGIApp, observer: Observer, paths: Container[str]) -> None:
        self._app, self._observer, self._paths = app, observer, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        fields: Fields = {"http.request.method": method, "http.request.body.bytes": 0, "http.response.body.bytes": 0}
        if path in self._paths:
            fields["url.path"] = path
        title = f"{method} {fields.get('url.path', '')}".rstrip()
        traceparent = next((value for name, value in scope["headers"] if name == b"traceparent"), b"").decode("latin-1")

        async def counted_receive() -> Message:
            message = await receive()
            fields["http.request.body.bytes"] += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields["http.response.status_code"] = message["status"]
            fields["http.response.body.bytes"] += len(message.get("body", b""))
            await send(message)

        with self._observer.request(title, fields, traceparent, reads_images=method == "POST"):
            await self._app(scope, counted_receive, counted_send)


class ObservedCalls(grpc.ServerInterceptor):  # type: ignore[misc]
    """Tells of gRPC calls that have a method here; others, and messages above the limit, gRPC refuses by itself.

    Args:
        observer: that tells.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Wrap the handler of a call."""
        handler = continuation(details)
        if handler is None:
            return None
        title = details.method.removeprefix("/")
        reads_images = details.method == _READS_IMAGES

        def answer(request: Any, context: Any) -> Any:
            fields: Fields = {
                "rpc.system.name": "grpc",
                "rpc.method": title,
                "http.request.body.bytes": request.ByteSize(),
            }
            traceparent = str(dict(context.invocation_metadata()).get("traceparent", ""))

            def later(write: Callable[[], None]) -> None:
                if not context.add_callback(write):  # the call has ended already
                    write()

            with self._observer.request(title, fields, traceparent, reads_images=reads_images, later=later):
                fields["rpc.response.status_code"] = "UNKNOWN"
                try:
                    response = handler.unary_unary(request, context)
                    fields["rpc.response.status_code"] = "OK"
                    fields["http.response.body.bytes"] = response.ByteSize()
                finally:
                    if code := context.code():
                        fields["rpc.response.status_code"] = code.name
            return response

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )
