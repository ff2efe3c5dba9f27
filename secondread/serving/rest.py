"""The REST side: V2's routes, with bodies read only as far as the limit, and every error as one JSON sentence."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError, SecondReadError, TooLargeError
from secondread.serving.admission import ClientGoneError, HeldBytes, SlowClientError, in_time
from secondread.serving.sdk import (
    DataPlane,
    ModelNotReady,
    ModelRepository,
    ServerNotReady,
    V2Endpoints,
    metrics_handler,
)
from secondread.serving.transformer import Transformer
from secondread.serving.wire import LENGTH_HEADER, RestRequest, encode_answer, parse_request

Route = Callable[..., Awaitable[Any]]


class ReadyDataPlane(DataPlane):  # type: ignore[misc]
    """The SDK's data plane, ready only when every model is: its own says yes as soon as the process runs."""

    async def ready(self) -> bool:
        """Whether an image that came now would be answered by each model."""
        models = self.model_registry.get_models()
        return bool(models) and all([await self.model_registry.is_model_ready(name) for name in models])


def data_plane(transformer: Transformer) -> ReadyDataPlane:
    """The SDK's view of the one model that is served."""
    registry = ModelRepository()
    registry.update(transformer)
    return ReadyDataPlane(model_registry=registry)


def create_app(transformer: Transformer, plane: ReadyDataPlane, config: ServeConfig) -> FastAPI:
    """The application.

    The SDK's routes that load and unload models are left out: which model runs is decided by the rollout, not by
    whoever reaches the port.

    Args:
        transformer: that answers.
        plane: for health and metadata.
        config: limits.
    """
    app = FastAPI(title="SecondRead", docs_url=None, redoc_url=None, openapi_url=None)
    health = V2Endpoints(plane)
    v2 = APIRouter(prefix="/v2")
    v2.add_api_route("", health.metadata)
    v2.add_api_route("/health/live", health.live)
    v2.add_api_route("/health/ready", health.ready)
    v2.add_api_route("/models", health.models)
    metadata, ready = _model_routes(transformer, health)
    for path in ("/models/{model_name}", "/models/{model_name}/versions/{model_version}"):
        v2.add_api_route(path, metadata)
        v2.add_api_route(f"{path}/ready", ready)
        v2.add_api_route(f"{path}/infer", _infer_route(transformer, config), methods=["POST"])
    app.include_router(v2)
    app.add_api_route("/", plane.live)
    app.add_api_route("/metrics", metrics_handler)
    _add_error_answers(app)
    return app


def _model_routes(transformer: Transformer, health: V2Endpoints) -> tuple[Route, Route]:
    """The SDK's, which answer 501 to a version in the path, even to the right one."""

    async def metadata(model_name: str, model_version: str = "") -> Any:
        transformer.check(model_name, model_version)
        return await health.model_metadata(model_name)

    async def ready(model_name: str, model_version: str = "") -> Any:
        transformer.check(model_name, model_version)
        return await health.model_ready(model_name)

    return metadata, ready


def _infer_route(transformer: Transformer, config: ServeConfig) -> Route:
    async def infer(request: Request, model_name: str, model_version: str = "") -> Response:
        async def read(held: HeldBytes) -> bytes:
            transformer.check(model_name, model_version)
            async with in_time(config.body_timeout_seconds):
                return await read_body(request, config.max_request_bytes, held)

        def parse(body: bytes) -> RestRequest:
            return parse_request(body, request.headers.get(LENGTH_HEADER))

        asked, answer = await transformer.answer(read, parse)
        body, headers = encode_answer(
            asked,
            answer,
            name=model_name,
            version=transformer.model.version,
            identifier=asked.id or str(uuid.uuid4()),
        )
        return Response(body, headers=headers)

    return infer


async def read_body(request: Request, max_bytes: int, held: HeldBytes) -> bytes:
    """The body of a request, of which no more than `max_bytes` are ever held.

    A body that is up to twice too long is read to its end and dropped, since a client that is cut off while it sends
    never sees why.

    Raises:
        TooLargeError: more than `max_bytes` are announced, or come.
        OverloadedError: there is no room for so many bytes beside those of other requests.
        ClientGoneError: the client went away.
    """
    error = TooLargeError(f"the request has more than {max_bytes} bytes: send fewer or smaller images.")
    announced = int(request.headers.get("content-length") or 0)
    if announced > 2 * max_bytes or (announced > max_bytes and "expect" in request.headers):
        raise error
    held.expect(min(announced, max_bytes))
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size <= max_bytes:
                held.add(len(part))
                parts.append(part)
            elif size > 2 * max_bytes:
                break
            else:
                parts.clear()
    except ClientDisconnect as gone:
        raise ClientGoneError("the client went away while it sent its request.") from gone
    if size > max_bytes:
        raise error
    return b"".join(parts)


def _add_error_answers(app: FastAPI) -> None:
    """Exception types meet their HTTP answers here and nowhere else."""

    def say(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
        return JSONResponse({"error": sentence}, status, headers)

    async def ours(_: Request, error: SecondReadError) -> JSONResponse:
        if isinstance(error, TooLargeError | SlowClientError):
            # The rest of the body is not read, so the connection cannot serve another request.
            return say(error.http_status, str(error), {"connection": "close"})
        retry = {"retry-after": str(error.retry_after_seconds)} if isinstance(error, DependencyError) else None
        return say(error.http_status, str(error), retry)

    async def not_ready(_: Request, error: Exception) -> JSONResponse:
        return say(HTTPStatus.SERVICE_UNAVAILABLE, f"{error} Try again in a second.", {"retry-after": "1"})

    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return say(error.status_code, f"{request.method} {request.url.path}: {error.detail}. See GET /v2/models.")

    async def invalid(request: Request, _: RequestValidationError) -> JSONResponse:
        return say(HTTPStatus.BAD_REQUEST, f"{request.url.path} does not take these parameters: leave them out.")

    async def bug(_: Request, error: Exception) -> JSONResponse:
        return say(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"a bug of ours ({type(error).__name__}): please report it with the server's log of this minute.",
        )

    app.add_exception_handler(SecondReadError, ours)  # type: ignore[arg-type]
    app.add_exception_handler(ModelNotReady, not_ready)
    app.add_exception_handler(ServerNotReady, not_ready)
    app.add_exception_handler(HTTPException, http)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, invalid)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, bug)
