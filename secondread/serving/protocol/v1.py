"""KServe's first protocol, for clients that have not moved on: `POST /v1/models/NAME:predict` with base64.

    {"instances": [{"image": {"b64": "<base64>"}}, ...]}        an instance may be {"b64": ...} itself
    {"predictions": [{"label": ..., "probabilities": {class: share, ...}, ...}, ...], "model_version": ..., ...}

A prediction has the outputs of the inference API (`contract.py`) by name; beside them stand its parameters.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol, and TensorFlow Serving's
encoding of binary values.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from secondread.errors import InputError
from secondread.serving.protocol import contract
from secondread.serving.protocol.contract import Answer, Request
from secondread.serving.protocol.wire import read_json

_EXAMPLE = '{"instances": [{"image": {"b64": "<base64>"}}]}'


def parse_predict(body: bytes) -> Request:
    """Read the body of a V1 request.

    Raises:
        InputError: not what the protocol says.
        TooLargeError: more images than one request may hold.
    """
    instances = read_json(body, len(body), example=_EXAMPLE).get("instances")
    if not isinstance(instances, list):
        raise InputError(f"'instances' is no list: send {_EXAMPLE}.")
    contract.check_input(contract.INPUT, "BYTES", [len(instances)])
    return Request(images=contract.from_base64([_base64(index, each) for index, each in enumerate(instances)]))


def encode_predictions(answer: Answer) -> bytes:
    """The body of a V1 answer."""
    classes = json.loads(str(answer.parameters["classes"]))
    columns = {name: tensor.tolist() for name, tensor in answer.tensors.items()}
    predictions = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for prediction in predictions:
        prediction["probabilities"] = dict(zip(classes, prediction["probabilities"], strict=True))
    about = {name: value for name, value in answer.parameters.items() if name not in ("classes", "titles")}
    return orjson.dumps({"predictions": predictions, **about})


def _base64(index: int, instance: Any) -> Any:
    if isinstance(instance, dict) and "image" in instance:
        instance = instance["image"]
    if not isinstance(instance, dict) or "b64" not in instance:
        raise InputError(f"instance {index} has no base64: send {_EXAMPLE}.")
    return instance["b64"]
