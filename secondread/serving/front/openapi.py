"""The OpenAPI document of one server: its very routes, models, limits and errors, for whoever writes a client.

Written out here, since what FastAPI derives from routes that read their bodies themselves knows neither the bodies nor
the errors, and names one, 422, that is never given. `tests/serving/front/test_openapi.py` holds the two together. There
is no page for people: those that exist load their code from the internet.

Source: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from secondread import __version__
from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError, OverloadedError
from secondread.serving.front.openapi_schemas import (
    Schema,
    answer_schema,
    exact_object,
    request_schema,
    v1_answer_schema,
    v1_request_schema,
    value_schema,
)
from secondread.serving.protocol import contract
from secondread.serving.protocol.wire import LENGTH_HEADER
from secondread.serving.transformer.versions import Served, ServedVersion, Versions

_JSON, _BINARY = "application/json", "application/octet-stream"
_LIVE = exact_object(live={"const": True})
_READY = exact_object(ready={"const": True})
_ANY_ROUTE = (400, 408, 431, 500)  # what is no HTTP, or does not come in time, is refused on every path
_READING_ROUTE = (400, 401, 408, 413, 431, 500, 503)
_WHY = {
    400: "What came is not what the protocol says, or an image is none.",
    401: "No token, or a wrong one.",
    404: "There is no such version here.",
    408: "The head or the body did not come in time.",
    413: "More bytes, pixels or images than the limit.",
    431: "The head is too long.",
    500: "A bug.",
    503: "Busy, or Triton does not answer: come back.",
}


def openapi_document(versions: Versions, config: ServeConfig) -> dict[str, Any]:
    """Describe a server.

    Args:
        versions: that it answers with; described is the one that answers whoever names none.
        config: its limits, and whether it wants a token.
    Returns:
        An OpenAPI 3.1 document.
    """
    models = list(versions.current.models.values())
    schemas = {"Error": exact_object(error={"type": "string", "minLength": 1})}
    for served in models:
        schemas |= _model_schemas(served, config)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SecondRead",
            "version": __version__,
            "summary": "A second reader for medical images.",
            "description": f"{contract.NOTICE} The Open Inference Protocol (V2), and KServe's first (V1).",
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(versions, config),
        "components": {
            "schemas": schemas,
            "responses": {str(status): _error(status) for status in _WHY},
            **({"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}} if config.token_file else {}),
        },
    }


class ServedPaths:
    """All paths that something is served at, as they come in a request: `path in paths`.

    Args:
        versions: that are served, whichever they are when it is asked.
    """

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._made: tuple[tuple[ServedVersion, ...], frozenset[str]] = ((), frozenset())

    def __contains__(self, path: object) -> bool:
        now = self._versions.all()
        if self._made[0] != now:
            templates = _paths(self._versions, ServeConfig())
            found = frozenset(each.replace("{model_version}", one.number) for each in templates for one in now)
            self._made = (now, found)
        return path in self._made[1]


def _paths(versions: Versions, config: ServeConfig) -> dict[str, Any]:
    models = list(versions.current.models.values())
    names = {"const": [served.model.name for served in models]}
    paths = {
        "/": _get("root", "Whether this process answers.", _LIVE),
        "/v2": _get("server", "What server this is.", value_schema(contract.server_metadata())),
        "/v2/health/live": _get("live", "Whether this process answers.", _LIVE),
        "/v2/health/ready": _get("ready", "Whether an image that came now would be answered.", _READY, 503),
        "/v2/models": _get("models", "The models that are served.", exact_object(models=names)),
        "/v1/models": _get("v1Models", "The models that are served.", exact_object(models=names)),
        "/metrics": _get("metrics", "Figures, for Prometheus.", {"type": "string"}, content="text/plain"),
        "/openapi.json": _get("openapi", "This document.", {"type": "object"}),
    }
    for served in models:
        paths |= _model_paths(served, versions.numbers(served.model.name), config)
    return paths


def _model_schemas(served: Served, config: ServeConfig) -> dict[str, Schema]:
    model, most = served.model, served.max_images
    return {
        f"{model.name}.Request": request_schema(model, most, urls=bool(config.url_hosts)),
        f"{model.name}.Answer": answer_schema(model, most),
        f"{model.name}.V1Request": v1_request_schema(most),
        f"{model.name}.V1Answer": v1_answer_schema(model, most),
    }


def _model_paths(served: Served, numbers: Sequence[str], config: ServeConfig) -> dict[str, Any]:
    """The routes of one model. Their paths name it, since each model has bodies of its own."""
    name = served.model.name
    metadata = value_schema(contract.model_metadata(served.model, numbers))
    ready = exact_object(name={"const": name}, ready={"const": True})
    healthy = exact_object(name={"const": name}, ready={"type": "boolean"})
    paths: dict[str, Any] = {
        f"/v1/models/{name}": _get(f"{name}.v1Ready", "Whether it would answer.", healthy),
        f"/v1/models/{name}:predict": {"post": _predict(name, config)},
    }
    for path, of, more in (
        (f"/v2/models/{name}", name, {}),
        (f"/v2/models/{name}/versions/{{model_version}}", f"{name}.version", _version(served)),
    ):
        also = (404,) if more else ()
        paths[path] = _get(f"{of}.metadata", "Inputs and outputs.", metadata, *also) | more
        paths[f"{path}/ready"] = _get(f"{of}.ready", "Whether it would answer.", ready, 503, *also) | more
        paths[f"{path}/infer"] = {"post": _infer(name, of, config, also)} | more
    return paths


def _version(served: Served) -> dict[str, Any]:
    parameter = {"name": "model_version", "in": "path", "required": True, "schema": {"const": served.model.version}}
    return {"parameters": [parameter]}


def _get(identifier: str, summary: str, schema: Schema, *errors: int, content: str = _JSON) -> dict[str, Any]:
    answer = {"description": "So it is.", "content": {content: {"schema": schema}}}
    operation = {"operationId": identifier, "summary": summary}
    return {"get": {**operation, "responses": {"200": answer, **_errors(*_ANY_ROUTE, *errors)}}}


def _infer(name: str, of: str, config: ServeConfig, errors: tuple[int, ...]) -> dict[str, Any]:
    length = {"description": "Bytes of the JSON part of a body with the binary extension."}
    length_schema = {"schema": {"type": "integer", "minimum": 0, "maximum": config.max_request_bytes}}
    binary: dict[str, Any] = {"schema": {}}
    answer = {
        "description": "A reading of each image.",
        "headers": {LENGTH_HEADER: {**length, **length_schema}},
        "content": {_JSON: {"schema": _ref(f"{name}.Answer")}, _BINARY: binary},
    }
    return {
        "operationId": f"{of}.infer",
        "summary": "Read images.",
        "description": (
            "A body in JSON, or JSON followed by the image's bytes (Triton's binary tensor data extension), at most "
            f"{config.max_request_bytes} bytes. The content type is not looked at."
        ),
        "parameters": [{"name": LENGTH_HEADER, "in": "header", **length, **length_schema}],
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": _ref(f"{name}.Request")}, _BINARY: binary},
        },
        **_reading(config, answer, errors),
    }


def _predict(name: str, config: ServeConfig) -> dict[str, Any]:
    answer = {
        "description": "A reading of each image.",
        "content": {_JSON: {"schema": _ref(f"{name}.V1Answer")}},
    }
    return {
        "operationId": f"{name}.predict",
        "summary": "Read images, in KServe's first protocol.",
        "description": f"A body of at most {config.max_request_bytes} bytes.",
        "requestBody": {"required": True, "content": {_JSON: {"schema": _ref(f"{name}.V1Request")}}},
        **_reading(config, answer, ()),
    }


def _reading(config: ServeConfig, answer: dict[str, Any], errors: tuple[int, ...]) -> dict[str, Any]:
    """Responses of a route that reads images, and who may ask it."""
    statuses = [status for status in _READING_ROUTE if config.token_file or status != 401]
    return {
        "responses": {"200": answer, **_errors(*statuses, *errors)},
        **({"security": [{"bearer": []}]} if config.token_file else {}),
    }


def _errors(*statuses: int) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)}


def _error(status: int) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if status == 503:
        seconds = [OverloadedError.retry_after_seconds, DependencyError.retry_after_seconds]
        headers["Retry-After"] = {"required": True, "schema": {"type": "integer", "enum": seconds}}
    if status == 401:
        headers["WWW-Authenticate"] = {"required": True, "schema": {"const": "Bearer"}}
    content = {_JSON: {"schema": _ref("Error")}}
    return {"description": _WHY[status], "content": content, **({"headers": headers} if headers else {})}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
