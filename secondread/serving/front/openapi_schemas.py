"""JSON Schemas of the bodies that one model takes and gives, out of the contract: its outputs, classes and limits."""

from __future__ import annotations

from typing import Any

from secondread.export.repository.layout import RepositoryModel
from secondread.model.session import SALIENCY
from secondread.serving.protocol import contract
from secondread.serving.protocol.wire import SAFE_INTEGER

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_BASE64: Schema = {"type": "string", "contentEncoding": "base64", "description": "JPEG, PNG or DICOM, as base64."}
_ADDRESS: Schema = {"type": "string", "format": "uri", "description": "Of an image, on a host that is allowed."}
_JSON_LISTS = ("classes", "titles")  # parameters of an answer that are lists, as text


def exact_object(**properties: Schema) -> Schema:
    """An object of these properties, no more and no less."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def value_schema(value: Any) -> Schema:
    """Of a document that is always the same."""
    if isinstance(value, dict):
        return exact_object(**{name: value_schema(each) for name, each in value.items()})
    return {"const": value}


def request_schema(model: RepositoryModel, max_images: int, *, urls: bool) -> Schema:
    """Of V2's `infer`.

    Args:
        model: that is asked.
        max_images: of one request.
        urls: whether images may be given by their address.
    """
    inputs = [_input(contract.INPUT, _BASE64, max_images)]
    if urls:
        inputs.append(_input(contract.URL, _ADDRESS, max_images))
    output = _open_object("name", name={"enum": list(contract.datatypes(model))}, parameters=_flags("binary_data"))
    return _open_object(
        "inputs",
        id={"type": ["string", "integer", "null"], "minimum": -SAFE_INTEGER, "maximum": SAFE_INTEGER},
        inputs=_list({"oneOf": inputs} if urls else inputs[0], 1, 1),
        outputs={**_or_null(_list(output)), "description": "Those that are wanted; by default all."},
        parameters=_flags("binary_data_output", contract.TEST),
    )


def answer_schema(model: RepositoryModel, max_images: int) -> Schema:
    """Of V2's answer in JSON."""
    outputs = [_output(model, max_images, output) for output in contract.output_types(model)]
    return exact_object(
        model_name={"const": model.name},
        model_version={"const": model.version},
        id=_TEXT,
        parameters=exact_object(**_parameters(model)),
        outputs=_list({"oneOf": outputs}, 1, len(outputs)),
    )


def v1_request_schema(max_images: int) -> Schema:
    """Of V1's `predict`."""
    named = _open_object("image", image=_open_object("b64", b64=_BASE64))
    bare = _open_object("b64", b64=_BASE64) | {"not": {"required": ["image"]}}
    return _open_object("instances", instances=_list({"oneOf": [named, bare]}, 1, max_images))


def v1_answer_schema(model: RepositoryModel, max_images: int) -> Schema:
    """Of V1's answer."""
    prediction = {}
    for output in contract.output_types(model):
        schema = _element(model, output["name"])
        for side in reversed(output["shape"][1:]):
            schema = _list(schema, side, side)
        prediction[output["name"]] = schema
    prediction["probabilities"] = exact_object(**dict.fromkeys(model.config.taxonomy.names, _SHARE))
    about = {name: schema for name, schema in _parameters(model).items() if name not in _JSON_LISTS}
    return exact_object(predictions=_list(exact_object(**prediction), 1, max_images), **about)


def _input(name: str, element: Schema, max_images: int) -> Schema:
    count = {"type": "integer", "minimum": 1, "maximum": max_images}
    return _open_object(
        "name",
        "datatype",
        "shape",
        "data",
        name={"const": name},
        datatype={"const": "BYTES"},
        shape={
            **_list({}, 1, 2),
            "prefixItems": [count, {"const": 1}],
            "description": "[n] or [n, 1]: there are n elements of `data`.",
        },
        data=_list({"oneOf": [element, _list(element, 1, 1)]}, 1, max_images),
    )


def _output(model: RepositoryModel, max_images: int, output: dict[str, Any]) -> Schema:
    sides = len(output["shape"])
    most = max(max_images, *output["shape"])
    return exact_object(
        name={"const": output["name"]},
        shape=_list({"type": "integer", "minimum": 1, "maximum": most}, sides, sides),
        datatype={"const": output["datatype"]},
        data={**_list(_element(model, output["name"]), 1), "description": "Flat, in row-major order."},
    )


def _element(model: RepositoryModel, name: str) -> Schema:
    classes = model.config.taxonomy.classes
    return {
        "label": {"enum": [info.name for info in classes]},
        "probabilities": _SHARE,
        "confidence": _SHARE,
        "urgency": {"enum": sorted({"unknown", *(info.urgency for info in classes)})},
        "out_of_distribution": _FLAG,
        "image_id": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "reading_id": {"type": "string", "format": "uuid"},
        SALIENCY: _SHARE,
        contract.PIXELS: {"type": "integer", "minimum": 0, "maximum": 255},
    }[name]


def _parameters(model: RepositoryModel) -> dict[str, Schema]:
    return {name: {"const": value} for name, value in contract.answer_parameters(model).items()}


def _list(element: Schema, least: int = 0, most: int | None = None) -> Schema:
    bounds = {"minItems": least} | ({} if most is None else {"maxItems": most})
    return {"type": "array", "items": element, **bounds}


def _open_object(*required: str, **properties: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": properties}


def _flags(*names: str) -> Schema:
    return _or_null({"type": "object", "properties": {name: _or_null(_FLAG) for name in names}})


def _or_null(schema: Schema) -> Schema:
    return schema | {"type": [schema["type"], "null"]}
