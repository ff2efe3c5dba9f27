"""The REST side: V2's routes, with bodies read only as far as the limit, and every error as one JSON sentence."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError, OverloadedError, SecondReadError, TooLargeError
from secondread.serving.front.access import Access, UnauthorizedError
from secondread.serving.front.openapi import openapi_document
from secondread.serving.protocol import contract
from secondread.serving.protocol.contract import Answer
from secondread.serving.protocol.v1 import encode_predictions, parse_predict
from secondread.serving.protocol.wire import LENGTH_HEADER, RestRequest, encode_answer, parse_request
from secondread.serving.transformer.admission import ClientGoneError, HeldBytes, SlowClientError, in_time
from secondread.serving.transformer.sdk import metrics_handler
from secondread.serving.transformer.transformer import Transformer
from secondread.serving.transformer.versions import ServedVersion, Versions

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

# FastAPI's own telemetry, which any OTEL_* variable may turn on, sends paths, queries and the words of exceptions.
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}

R = TypeVar("R", bound=contract.Request)


def create_app(transformer: Transformer, access: Access, config: ServeConfig) -> FastAPI:
    """The application.

    There are no routes that load and unload models: which model runs is decided by the rollout, not by whoever reaches
    the port.

    Args:
        transformer: that answers.
        access: says who may ask.
        config: limits.
    """
    app = FastAPI(
        title="SecondRead",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
    )
    app.include_router(_v2(transformer, access, config))
    app.include_router(_v1(transformer, access, config))
    app.add_api_route("/", _live)
    app.add_api_route("/metrics", metrics_handler)
    app.add_api_route("/openapi.json", _description(transformer.versions, config))
    _add_error_answers(app)
    return app


async def _live() -> dict[str, bool]:
    return {"live": True}


def _description(versions: Versions, config: ServeConfig) -> Callable[[], Awaitable[Response]]:
    made: dict[tuple[ServedVersion, ...], bytes] = {}  # of the versions of now

    async def answer() -> Response:
        now = versions.all()
        if now not in made:
            made.clear()
            made[now] = orjson.dumps(openapi_document(versions, config))
        return Response(made[now], media_type="application/json")

    return answer


def _v2(transformer: Transformer, access: Access, config: ServeConfig) -> APIRouter:
    async def server() -> dict[str, Any]:
        return contract.server_metadata()

    async def server_ready() -> dict[str, bool]:
        await _require_ready(transformer.is_ready)
        return {"ready": True}

    async def models() -> dict[str, list[str]]:
        return {"models": list(transformer.versions.current.models)}

    async def model(model_name: str, model_version: str = "") -> dict[str, Any]:
        served = transformer.versions.find(model_name, model_version)
        return contract.model_metadata(served.model, transformer.versions.numbers(model_name))

    async def model_ready(model_name: str, model_version: str = "") -> dict[str, Any]:
        served = transformer.versions.find(model_name, model_version)
        await _require_ready(lambda: bool(transformer.ready) and served.predictor.ready())
        return {"name": model_name, "ready": True}

    async def infer(request: Request, model_name: str, model_version: str = "") -> Response:
        def parse(body: bytes) -> RestRequest:
            return parse_request(body, request.headers.get(LENGTH_HEADER))

        asked, answer = await ask(request, parse, model_name, model_version)
        body, headers = encode_answer(
            asked,
            answer,
            name=model_name,
            version=str(answer.parameters["model_version"]),
            identifier=asked.id or str(uuid.uuid4()),
        )
        return Response(body, headers=headers)

    ask = _asker(transformer, access, config)
    routes = APIRouter(prefix="/v2")
    routes.add_api_route("", server)
    routes.add_api_route("/health/live", _live)
    routes.add_api_route("/health/ready", server_ready)
    routes.add_api_route("/models", models)
    for path in ("/models/{model_name}", "/models/{model_name}/versions/{model_version}"):
        routes.add_api_route(path, model)
        routes.add_api_route(f"{path}/ready", model_ready)
        routes.add_api_route(f"{path}/infer", infer, methods=["POST"])
    return routes


def _v1(transformer: Transformer, access: Access, config: ServeConfig) -> APIRouter:
    async def models() -> dict[str, list[str]]:
        return {"models": list(transformer.versions.current.models)}

    async def model(model_name: str) -> dict[str, Any]:
        transformer.versions.find(model_name, "")
        return {"name": model_name, "ready": await transformer.healthy()}

    async def predict(request: Request, model_name: str) -> Response:
        _, answer = await ask(request, parse_predict, model_name, "")
        return Response(encode_predictions(answer), media_type="application/json")

    async def only_post() -> None:  # otherwise the next route would look for a model of that name
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "POST"})

    ask = _asker(transformer, access, config)
    routes = APIRouter(prefix="/v1")
    routes.add_api_route("/models", models)
    routes.add_api_route("/models/{model_name}:predict", predict, methods=["POST"])
    routes.add_api_route("/models/{model_name}:predict", only_post, include_in_schema=False)
    routes.add_api_route("/models/{model_name}", model)
    return routes


async def _require_ready(is_ready: Callable[[], bool]) -> None:
    if not await asyncio.get_running_loop().run_in_executor(None, is_ready):
        raise OverloadedError("the model is not ready: Triton does not answer for it yet. Try again in a second.")


def _asker(transformer: Transformer, access: Access, config: ServeConfig) -> Callable[..., Awaitable[Any]]:
    """How every route has its request answered."""

    async def ask(request: Request, parse: Callable[[bytes], R], name: str, version: str) -> tuple[R, Answer]:
        async def read(held: HeldBytes) -> bytes:
            access.check(request.headers.get("authorization"))
            transformer.versions.find(name, version)
            async with in_time(config.body_timeout_seconds):
                return await read_body(request, config.max_request_bytes, held)

        return await transformer.answer(name, version, read, parse)

    return ask


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

    def say(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
        return JSONResponse({"error": sentence}, status, headers)

    async def ours(_: Request, error: SecondReadError) -> JSONResponse:
        if isinstance(error, TooLargeError | SlowClientError):
            # The rest of the body is not read, so the connection cannot serve another request.
            return say(error.http_status, str(error), {"connection": "close"})
        if isinstance(error, UnauthorizedError):
            return say(error.http_status, str(error), {"www-authenticate": "Bearer"})
        retry = {"retry-after": str(error.retry_after_seconds)} if isinstance(error, DependencyError) else None
        return say(error.http_status, str(error), retry)

    async def http(request: Request, error: HTTPException) -> JSONResponse:
        sentence = f"{request.method} {request.url.path}: {error.detail}. See GET /v2/models."
        return say(error.status_code, sentence, error.headers)

    async def invalid(request: Request, _: RequestValidationError) -> JSONResponse:
        return say(HTTPStatus.BAD_REQUEST, f"{request.url.path} does not take these parameters: leave them out.")

    async def bug(_: Request, error: Exception) -> JSONResponse:
        return say(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"a bug of ours ({type(error).__name__}): please report it with the server's log of this minute.",
        )

    app.add_exception_handler(SecondReadError, ours)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, http)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, invalid)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, bug)
