"""The inference API: the Open Inference Protocol (V2) with these inputs and outputs, over REST and over gRPC.

Request, input `image` BYTES `[n]`: encoded JPEG, PNG or DICOM. In JSON each element is base64; in the binary extension
and in gRPC it is the bytes themselves, as V2 packs them: a length of four bytes, little-endian, before each element.
Or, where hosts are allowed, input `url` BYTES `[n]`: the images' addresses, in JSON as they are.
The parameter `secondread_test`, true, says that the images are nobody's who came to be read: they are answered and
counted as any, and not compared with those of val.

Answer, one element or row an image, in the order of the request:

    label                BYTES [n]            name of the most probable class
    probabilities        FP32  [n, classes]   calibrated, rows sum to 1; classes in the order of `parameters.classes`
    confidence           FP32  [n]            the largest of them
    urgency              BYTES [n]            of the label: urgent, routine or unknown; unknown if out of distribution
    out_of_distribution  BOOL  [n]            unlike what the model was trained for; then the label means nothing
    image_id             BYTES [n]            SHA-256 of the bytes that came, hex
    reading_id           BYTES [n]            UUID, fresh for every answer, so that feedback can name it

The model `<name>-explain` answers the same and

    saliency             FP32  [n, size, size]    where it looked, in [0, 1]
    pixels               UINT8 [n, size, size]    at what: the image as the model reads it

and `parameters`: `model_version` and `digest` of the model that answered, `classes` and `titles` (JSON lists),
`synthetic` (it learned from generated images) and `notice`.

Source: https://github.com/kserve/open-inference-protocol and Triton's binary tensor data extension.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread import __version__
from secondread.errors import InputError, TooLargeError
from secondread.export.repository.layout import EXPLAIN_SUFFIX, RepositoryModel
from secondread.export.repository.triton_config import MAX_BATCH_SIZE
from secondread.model.session import SALIENCY
from secondread.serving.protocol.interpret import Interpretation
from secondread.taxonomy import Taxonomy

INPUT = "image"
TEST = "secondread_test"
URL = "url"  # instead of it, where that is allowed: addresses of the images
DATATYPES = {
    "label": "BYTES",
    "probabilities": "FP32",
    "confidence": "FP32",
    "urgency": "BYTES",
    "out_of_distribution": "BOOL",
    "image_id": "BYTES",
    "reading_id": "BYTES",
}
PIXELS = "pixels"
EXPLAINING_DATATYPES = {SALIENCY: "FP32", PIXELS: "UINT8"}  # besides, of a model that explains
MAX_IMAGES = MAX_BATCH_SIZE
INPUT_TYPES = [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}]
NOTICE = "Preliminary reading by software, not a diagnosis: a physician decides."

Tensor = npt.NDArray[np.generic] | npt.NDArray[np.object_]


class UnknownModelError(InputError):
    """Another model, or another version of it, than the one that is served."""

    http_status = 404


@dataclass(frozen=True)
class Request:
    """What a client asks, however it came.

    Attributes:
        images: encoded, in order; from 1 to MAX_IMAGES. Empty where `urls` says where they are.
        urls: addresses of the images.
        id: given by the client; empty for none.
        outputs: names of those that are wanted, in the order in which they are answered; empty for all.
        test: the images are of a test of the server, and tell nothing of those that it is asked about.
    """

    images: list[bytes]
    urls: tuple[str, ...] = ()
    id: str = ""
    outputs: tuple[str, ...] = ()
    test: bool = False


@dataclass(frozen=True)
class Answer:
    """What is said of the images of one request.

    Attributes:
        tensors: wanted output to array: object (n,) of str for BYTES, float32 for FP32, bool for BOOL,
            uint8 for UINT8.
        parameters: about the answer as a whole.
    """

    tensors: dict[str, Tensor]
    parameters: dict[str, str | bool]


def datatypes(model: RepositoryModel) -> dict[str, str]:
    """The outputs of a model, in order, with V2's name of their type."""
    return {**DATATYPES, **EXPLAINING_DATATYPES} if explains(model) else DATATYPES


def explains(model: RepositoryModel) -> bool:
    """Whether a model says where it looked."""
    return model.name.endswith(EXPLAIN_SUFFIX)


def datatype(tensor: Tensor) -> str:
    """V2's name of an answer's type."""
    return {"O": "BYTES", "f": "FP32", "b": "BOOL", "u": "UINT8"}[tensor.dtype.kind]


def server_metadata() -> dict[str, Any]:
    """What server this is, as V2 has it. Models are changed by a rollout, so that there is no repository extension."""
    return {"name": "secondread", "version": __version__, "extensions": ["binary_tensor_data"]}


def model_metadata(model: RepositoryModel, versions: Sequence[str]) -> dict[str, Any]:
    """A model's inputs and outputs, as V2 has them.

    Args:
        model: the version that is asked about.
        versions: of it that are served, the one first that answers whoever names none.
    """
    return {
        "name": model.name,
        "versions": versions,
        "platform": "onnxruntime_onnx",
        "inputs": INPUT_TYPES,
        "outputs": output_types(model),
    }


def output_types(model: RepositoryModel) -> list[dict[str, Any]]:
    """The outputs as V2's metadata describes them; -1 is the number of images."""
    size = model.config.preprocessing.size
    shapes = {"probabilities": [len(model.config.taxonomy.classes)], SALIENCY: [size, size], PIXELS: [size, size]}
    return [
        {"name": name, "datatype": datatype, "shape": [-1, *shapes.get(name, [])]}
        for name, datatype in datatypes(model).items()
    ]


def image_id(data: bytes) -> str:
    """SHA-256 of an image's bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def answer(
    images: Sequence[bytes],
    reading: Interpretation,
    model: RepositoryModel,
    *,
    wanted: Sequence[str] = tuple(DATATYPES),
    explanation: Mapping[str, Tensor] | None = None,
) -> Answer:
    """Put an answer together.

    Args:
        images: as they came, in order.
        reading: of these images.
        model: that gave it.
        wanted: outputs, in the order of the answer.
        explanation: `saliency` and `pixels`, of a model that explains.
    """
    tensors: dict[str, Tensor] = {
        "label": _strings(reading.labels),
        "probabilities": reading.probabilities,
        "confidence": reading.confidence,
        "urgency": _strings(reading.urgency),
        "out_of_distribution": reading.out_of_distribution,
        "image_id": _strings([image_id(data) for data in images]),
        "reading_id": _strings([str(uuid.uuid4()) for _ in images]),
    }
    tensors |= explanation or {}
    return Answer({name: tensors[name] for name in wanted}, answer_parameters(model))


def answer_parameters(model: RepositoryModel) -> dict[str, str | bool]:
    """Which model answered, in what order its classes stand, and what the answer is not."""
    classes, titles = _lists(model.config.taxonomy)
    return {
        "model_version": model.version,
        "digest": model.digest,
        "classes": classes,
        "titles": titles,
        "synthetic": model.config.synthetic,
        "notice": NOTICE,
    }


@lru_cache(maxsize=8)  # of the few versions that are served; every answer has them
def _lists(taxonomy: Taxonomy) -> tuple[str, str]:
    """Names and titles of the classes, as JSON."""
    return json.dumps(taxonomy.names), json.dumps([info.title for info in taxonomy.classes])


def wanted_outputs(names: Sequence[str], model: RepositoryModel) -> tuple[str, ...]:
    """The outputs to answer with: those that are asked for, or all.

    Raises:
        InputError: the model has no such output.
    """
    known = datatypes(model)
    if unknown := sorted(set(names) - set(known)):
        raise InputError(f"there is no output {', '.join(unknown)[:100]}: ask for some of {', '.join(known)}.")
    return tuple(dict.fromkeys(names)) or tuple(known)


def what_is_asked(name: str, elements: Sequence[bytes], shape: Sequence[int]) -> tuple[list[bytes], tuple[str, ...]]:
    """The images and the addresses of a request, of which one is empty, if they are as many as their shape says.

    Raises:
        InputError: they are not, or an address is no text.
    """
    if len(elements) != shape[0]:
        raise InputError(f"input '{name}' has shape {list(shape)} but {len(elements)} images: make them agree.")
    if name == INPUT:
        return list(elements), ()
    try:
        return [], tuple(element.decode() for element in elements)
    except UnicodeDecodeError as error:
        raise InputError(
            f"an element of input '{URL}' is no text: send addresses such as https://host/path."
        ) from error


def check_input(name: str, datatype: str, shape: Sequence[int]) -> int:
    """Check what a request says of its only input.

    Returns:
        Number of images.
    Raises:
        InputError: another name, type or shape.
        TooLargeError: more images than one request may hold.
    """
    if name not in (INPUT, URL) or datatype != "BYTES":
        raise InputError(
            f"the input is '{name[:50]}' {datatype[:10]}: send one input '{INPUT}' of type BYTES, shape [n]."
        )
    if not shape or len(shape) > 2 or shape[1:] not in ([], [1]) or shape[0] < 1:
        raise InputError(
            f"input '{name}' has shape {str(list(shape))[:50]}: send [n], the number of images, at least 1."
        )
    if shape[0] > MAX_IMAGES:
        raise TooLargeError(f"{shape[0]} images are more than the {MAX_IMAGES} of one request: send them in several.")
    return shape[0]


def from_base64(strings: Sequence[object]) -> list[bytes]:
    """Images out of the `data` of a JSON request.

    Raises:
        InputError: an element is no base64; the message names its index.
    """
    images = []
    for index, text in enumerate(strings):
        try:
            if not isinstance(text, str):
                raise TypeError(f"it is a {type(text).__name__}")
            images.append(base64.b64decode(text, validate=True))
        except (TypeError, ValueError, binascii.Error) as error:
            raise InputError(
                f"image {index} is not base64 ({error}): encode the file's bytes, or use the binary extension."
            ) from error
    return images


def from_packed(data: bytes | memoryview, count: int) -> list[bytes]:
    """Images out of a packed BYTES tensor.

    Args:
        data: the tensor.
        count: of images that its shape says; not many more are looked at, since empty ones take four bytes each.
    Raises:
        InputError: the lengths do not add up, or there are more images.
    """
    view, offset = memoryview(data), 0
    images: list[bytes] = []
    while offset < len(view):
        if len(images) == count:
            raise InputError(f"input '{INPUT}' has shape [{count}] but more images: make them agree.")
        if offset + 4 > len(view):
            raise InputError(f"input '{INPUT}' ends inside a length: give each image its 4 bytes of length first.")
        (length,) = struct.unpack_from("<I", view, offset)
        offset += 4
        if offset + length > len(view):
            raise InputError(
                f"image {len(images)} is said to have {length} bytes, but only {len(view) - offset} came: "
                "give each image its own length, 4 bytes, little-endian."
            )
        images.append(bytes(view[offset : offset + length]))
        offset += length
    return images


def from_texts(texts: Sequence[object]) -> list[bytes]:
    """Addresses out of the `data` of a JSON request.

    Raises:
        InputError: an element is no text; the message names its index.
    """
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"url {index} is a {type(text).__name__}: send addresses such as https://host/path.")
    return [str(text).encode() for text in texts]


def to_packed(elements: Sequence[bytes]) -> bytes:
    """A packed BYTES tensor, the way back of `from_packed`."""
    return b"".join(part for element in elements for part in (struct.pack("<I", len(element)), element))


def to_raw(tensor: Tensor) -> bytes:
    """A tensor as V2 has it in bytes: packed strings, else the elements, little-endian, in row-major order."""
    if tensor.dtype == np.object_:
        return to_packed([str(each).encode() for each in tensor])
    return tensor.tobytes()


def _strings(values: Sequence[str]) -> npt.NDArray[np.object_]:
    return np.array(values, dtype=np.object_)
