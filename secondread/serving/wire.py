"""REST bodies to the SDK's requests and back: JSON, alone or with the binary extension.

The SDK's own reader turns binary BYTES into a list of UTF-8 strings, which no JPEG survives, and walks numeric tensors
element by element. This one cuts the body into its parts and leaves the bytes as they are.
"""

from __future__ import annotations

from typing import Any

import orjson

from secondread.errors import InputError
from secondread.serving import contract
from secondread.serving.sdk import InferInput, InferRequest, InferResponse, RequestedOutput

LENGTH_HEADER = "inference-header-content-length"
_LENGTH_DIGITS = 20
_MAX_COMMAS = 10_000  # in the JSON part; a full request has about a hundred, and base64 none
_EXAMPLE = '{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["<base64>"]}]}'


def parse_request(body: bytes, json_length: str | None, *, name: str, version: str = "") -> InferRequest:
    """Read the body of a REST request.

    Args:
        body: JSON, followed by the inputs' bytes where `json_length` is given.
        json_length: value of the header `Inference-Header-Content-Length`, if there is one.
        name: of the model asked.
        version: of the model asked; empty for the one that is served.
    Raises:
        InputError: not what the inference API says.
    """
    cut = _json_end(body, json_length)
    _check_commas(body, cut)
    try:
        document = orjson.loads(memoryview(body)[:cut])
    except orjson.JSONDecodeError as error:
        raise InputError(f"the request is no JSON ({error}): send {_EXAMPLE}.") from error
    given = _mapping(document, "the request").get("inputs")
    if not isinstance(given, list) or len(given) != 1:
        raise InputError(f"the request has not exactly one input: send {_EXAMPLE}.")
    description = _mapping(given[0], "the input")
    tensor = InferInput(
        str(description.get("name")), _shape(description), str(description.get("datatype")), description.get("data")
    )
    request = InferRequest(
        name,
        [tensor],
        request_id=_identifier(document),
        raw_inputs=None if tensor.data is not None else [_binary(description, body[cut:])],
        parameters=_mapping(document.get("parameters") or {}, "parameters"),
        model_version=version,
    )
    request.request_outputs = _requested(document)
    return request


def images_of(request: InferRequest) -> list[bytes]:
    """The encoded images of a request, in order, however they came.

    Raises:
        InputError: not one input `image`, or not what its shape says.
    """
    if len(request.inputs) != 1:
        raise InputError(f"the request has {len(request.inputs)} inputs: send one, '{contract.INPUT}'.")
    tensor = request.inputs[0]
    count = contract.check_input(tensor.name, tensor.datatype, tensor.shape)
    if tensor._raw_data is not None:  # the SDK's own accessor fails on a wrong length without saying what is wrong
        images = contract.from_packed(tensor._raw_data)
    elif not isinstance(tensor.data, list):
        raise InputError(f"'data' of input '{contract.INPUT}' is no list: send {_EXAMPLE}.")
    elif request.from_grpc:
        images = list(tensor.data)
    else:
        images = contract.from_base64(_flat(tensor.data))
    if len(images) != count:
        raise InputError(
            f"input '{contract.INPUT}' has shape {list(tensor.shape)} but {len(images)} images: make them agree."
        )
    return images


def encode_response(response: InferResponse) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a REST answer, in JSON or with the binary extension, as was asked.

    Raises:
        InputError: an output is asked for that there is not.
    """
    known = set(contract.DATATYPES)
    unknown = sorted({output.name for output in response._requested_outputs or []} - known)
    if unknown:
        raise InputError(f"there is no output {', '.join(unknown)}: ask for some of {', '.join(contract.DATATYPES)}.")
    body, json_length = response.to_rest()
    if json_length is None:
        return orjson.dumps(body), {"content-type": "application/json"}
    return body, {"content-type": "application/octet-stream", LENGTH_HEADER: str(json_length)}


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


def _check_commas(body: bytes, end: int) -> None:
    """Refuse JSON of very many elements, which would take 20 times its size as Python objects."""
    comma = -1
    for _ in range(_MAX_COMMAS + 1):  # from one to the next is far quicker than counting: base64 has none
        comma = body.find(b",", comma + 1, end)
        if comma < 0:
            return
    raise InputError(f"the request has more than {_MAX_COMMAS} elements: send {_EXAMPLE}.")


def _binary(description: dict[str, Any], rest: bytes) -> bytes:
    size = _mapping(description.get("parameters") or {}, "parameters of the input").get("binary_data_size")
    if size is None:
        raise InputError(f"the input has neither 'data' nor the parameter 'binary_data_size': send {_EXAMPLE}.")
    if size != len(rest):
        raise InputError(f"'binary_data_size' is {size}, but {len(rest)} bytes follow the JSON part: make them agree.")
    return rest


def _shape(description: dict[str, Any]) -> list[int]:
    shape = description.get("shape")
    if not isinstance(shape, list) or not all(isinstance(side, int) for side in shape):
        raise InputError(f"the input's 'shape' is {shape!r}: send [n], the number of images.")
    return shape


def _identifier(document: dict[str, Any]) -> str | None:
    identifier = document.get("id")
    return None if identifier is None else str(identifier)


def _requested(document: dict[str, Any]) -> list[Any] | None:
    """The outputs that are asked for; the wish for binary ones holds for each that says nothing else."""
    binary = _mapping(document.get("parameters") or {}, "parameters").get("binary_data_output", False)
    outputs = document.get("outputs") or []
    if not isinstance(outputs, list):
        raise InputError('\'outputs\' is no list: send [{"name": "label"}], or leave it out.')
    requested = []
    for output in outputs:
        description = _mapping(output, "an output")
        parameters = {"binary_data": binary, **_mapping(description.get("parameters") or {}, "parameters of an output")}
        requested.append(RequestedOutput(str(description.get("name")), parameters))
    return requested or None


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{what} is no JSON object: send {_EXAMPLE}.")
    return value


def _flat(data: list[Any]) -> list[Any]:
    """V2 lets a tensor of shape [n, 1] come nested."""
    return [element[0] if isinstance(element, list) and len(element) == 1 else element for element in data]
