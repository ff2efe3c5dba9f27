"""REST bodies to requests and answers to bodies: JSON, alone or with the binary extension.

The SDK's own reader turns binary BYTES into a list of UTF-8 strings, which no JPEG survives, and walks numeric tensors
element by element. This one cuts the body into its parts and leaves the bytes as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from secondread.errors import InputError
from secondread.serving.protocol import contract
from secondread.serving.protocol.contract import Answer, Request, Tensor

LENGTH_HEADER = "inference-header-content-length"
_LENGTH_DIGITS = 20
SAFE_INTEGER = 2**53 - 1  # beyond it readers of JSON do not agree on a number (RFC 8259, section 6)
_MAX_COMMAS = 10_000  # in the JSON part; a full request has about a hundred, and base64 none
_EXAMPLE = '{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["<base64>"]}]}'


@dataclass(frozen=True)
class RestRequest(Request):
    """What came over REST.

    Attributes:
        binary: outputs by name, and whether each is wanted in the binary extension.
        all_binary: whether those are that are not named.
    """

    binary: Mapping[str, bool] = field(default_factory=dict)
    all_binary: bool = False


def parse_request(body: bytes, json_length: str | None) -> RestRequest:
    """Read the body of a REST request.

    Args:
        body: JSON, followed by the input's bytes where `json_length` is given.
        json_length: value of the header `Inference-Header-Content-Length`, if there is one.
    Raises:
        InputError: not what the inference API says.
        TooLargeError: more images than one request may hold.
    """
    cut = _json_end(body, json_length)
    document = read_json(body, cut, example=_EXAMPLE)
    given = document.get("inputs")
    if not isinstance(given, list) or len(given) != 1:
        raise InputError(f"the request has not exactly one input: send {_EXAMPLE}.")
    outputs, all_binary = _outputs(document)
    test = _flag(document, "parameters", contract.TEST, default=False)
    images, urls = _asked(_mapping(given[0], "the input"), memoryview(body)[cut:])
    return RestRequest(
        images=images,
        urls=urls,
        id=_identifier(document),
        outputs=tuple(outputs),
        test=test,
        binary=outputs,
        all_binary=all_binary,
    )


def read_json(body: bytes, end: int, *, example: str) -> Mapping[str, Any]:
    """The JSON object in a body.

    Args:
        body: which may go on behind it.
        end: of the JSON part.
        example: of a right request, for whoever sent a wrong one.
    Raises:
        InputError: it is none, or has very many elements, which would take 20 times its size as Python objects.
    """
    comma = -1
    for _ in range(_MAX_COMMAS + 1):  # from one to the next is far quicker than counting: base64 has none
        comma = body.find(b",", comma + 1, end)
        if comma < 0:
            break
    else:
        raise InputError(f"the request has more than {_MAX_COMMAS} elements: send {example}.")
    try:
        document = orjson.loads(memoryview(body)[:end])
    except orjson.JSONDecodeError as error:
        raise InputError(f"the request is no JSON ({error}): send {example}.") from error
    if not isinstance(document, dict):
        raise InputError(f"the request is no JSON object: send {example}.")
    return document


def encode_answer(
    request: RestRequest, answer: Answer, *, name: str, version: str, identifier: str
) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a REST answer, in JSON or with the binary extension, as was asked.

    Args:
        request: that is answered.
        answer: to it.
        name: of the model.
        version: of the model.
        identifier: of the request.
    """
    outputs: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for output, tensor in answer.tensors.items():
        described: dict[str, Any] = {
            "name": output,
            "shape": list(tensor.shape),
            "datatype": contract.datatype(tensor),
        }
        if request.binary.get(output, request.all_binary):
            parts.append(contract.to_raw(tensor))
            described["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            described["data"] = _json_data(tensor)
        outputs.append(described)
    head = {
        "model_name": name,
        "model_version": version,
        "id": identifier,
        "parameters": answer.parameters,
        "outputs": outputs,
    }
    text = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    if not parts:
        return text, {"content-type": "application/json"}
    return b"".join([text, *parts]), {"content-type": "application/octet-stream", LENGTH_HEADER: str(len(text))}


def _json_data(tensor: Tensor) -> Any:
    """Flat, in row-major order."""
    return tensor.tolist() if tensor.dtype == np.object_ else np.ascontiguousarray(tensor).ravel()


def _json_end(body: bytes, json_length: str | None) -> int:
    if json_length is None:
        return len(body)
    # Longer numbers than these are never right, and Python refuses to read them.
    number = int(json_length) if json_length.isdecimal() and len(json_length) <= _LENGTH_DIGITS else -1
    if not 0 <= number <= len(body):
        raise InputError(
            f"the header Inference-Header-Content-Length says '{json_length[:_LENGTH_DIGITS]}', but {len(body)} bytes "
            "came: give the length of the JSON part."
        )
    return number


def _asked(description: Mapping[str, Any], rest: memoryview) -> tuple[list[bytes], tuple[str, ...]]:
    name = str(description.get("name"))
    shape = _shape(description.get("shape"))
    contract.check_input(name, str(description.get("datatype")), shape)
    data = description.get("data")
    if data is None:
        return contract.what_is_asked(name, contract.from_packed(_binary(description, rest), shape[0]), shape)
    if not isinstance(data, list):
        raise InputError(f"'data' of input '{name}' is no list: send {_EXAMPLE}.")
    read = contract.from_base64 if name == contract.INPUT else contract.from_texts
    return contract.what_is_asked(name, read(_flat(data)), shape)


def _shape(given: Any) -> list[int]:
    """JSON knows no whole numbers, so that 2.0 is one too."""
    if not isinstance(given, list) or not all(type(side) in (int, float) and side == side // 1 for side in given):
        raise InputError(f"the input's 'shape' is {str(given)[:50]}: send [n], the number of images.")
    return [int(side) for side in given]


def _binary(description: Mapping[str, Any], rest: memoryview) -> memoryview:
    size = _parameters(description, "parameters of the input").get("binary_data_size")
    if size is None:
        raise InputError(f"the input has neither 'data' nor the parameter 'binary_data_size': send {_EXAMPLE}.")
    if size != len(rest):
        raise InputError(f"'binary_data_size' is {size}, but {len(rest)} bytes follow the JSON part: make them agree.")
    return rest


def _outputs(document: Mapping[str, Any]) -> tuple[dict[str, bool], bool]:
    """The outputs that are asked for, which of them binary, and whether those are that are not named."""
    binary = _flag(document, "parameters", "binary_data_output", default=False)
    outputs = _unless_null(document, "outputs", [])
    if not isinstance(outputs, list):
        raise InputError('\'outputs\' is no list: send [{"name": "label"}], or leave it out.')
    wanted = {}
    for output in outputs:
        description = _mapping(output, "an output")
        name = str(description.get("name"))
        wanted[name] = _flag(description, "parameters of an output", "binary_data", default=binary)
    return wanted, binary


def _flag(description: Mapping[str, Any], what: str, name: str, *, default: bool) -> bool:
    value = _unless_null(_parameters(description, what), name, default)
    if not isinstance(value, bool):
        raise InputError(f"'{name}' is neither true nor false: send one of them, or leave it out.")
    return value


def _identifier(document: Mapping[str, Any]) -> str:
    value = _unless_null(document, "id", "")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 5.0 is an integer to JSON Schema
    if type(value) is not str and (type(value) is not int or abs(value) > SAFE_INTEGER):
        raise InputError("'id' is no text, and no whole number below 2^53: send one of them, or leave it out.")
    return str(value)


def _parameters(description: Mapping[str, Any], what: str) -> dict[str, Any]:
    return _mapping(_unless_null(description, "parameters", {}), what)


def _unless_null(description: Mapping[str, Any], name: str, default: Any) -> Any:
    """What may be left out may be null: some clients write all that they know of."""
    value = description.get(name)
    return default if value is None else value


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{what} is no JSON object: send {_EXAMPLE}.")
    return value


def _flat(data: list[Any]) -> list[Any]:
    """V2 lets a tensor of shape [n, 1] come nested."""
    return [element[0] if isinstance(element, list) and len(element) == 1 else element for element in data]
