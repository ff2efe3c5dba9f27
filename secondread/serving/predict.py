"""Readings of image files: from a model folder without any server, or from a running server. Both say the same."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.data.pixels.preprocess import Preprocessing, preprocess
from secondread.errors import DependencyError, ImageError, InputError, OverloadedError, TooLargeError
from secondread.export.repository.layout import RepositoryModel
from secondread.model.folder import ModelFolder
from secondread.model.session import open_graph
from secondread.serving.protocol import contract
from secondread.serving.protocol.interpret import interpret
from secondread.serving.protocol.reading import Reading, readings_of

_ANSWER_SECONDS = 60.0  # patience for one request of up to 32 images
_MESSAGE_TOO_LARGE = "larger than max"  # in gRPC's words
_ERRORS: dict[str, type[InputError] | type[DependencyError]] = {
    "400": ImageError,
    "401": InputError,
    "404": InputError,
    "413": TooLargeError,
    "503": OverloadedError,
    "StatusCode.INVALID_ARGUMENT": ImageError,
    "StatusCode.NOT_FOUND": InputError,
    "StatusCode.UNAUTHENTICATED": InputError,
    "StatusCode.RESOURCE_EXHAUSTED": OverloadedError,
    "StatusCode.UNAVAILABLE": DependencyError,
}


def predict_with_model(model_dir: Path, images: Sequence[Path]) -> list[Reading]:
    """Read images with a model folder; no server, no torch.

    Args:
        model_dir: as `train` or `quantize` wrote it.
        images: JPEG, PNG or DICOM files, at least one.
    Raises:
        IntegrityError: it is no model folder.
        InputError: a file is missing, or is no image; the message names it.
    """
    folder = ModelFolder.open(model_dir)
    model = RepositoryModel(folder.config.name, "", folder.digest(), folder.config)
    data = read_files(images)
    outputs = open_graph(folder).run(pixels_of(images, data, folder.config.preprocessing))
    reading = interpret(outputs.probabilities, outputs.ood_score, folder.config)
    return readings_of(images, contract.answer(data, reading, model), model=model.name)


def predict_with_server(
    url: str, images: Sequence[Path], *, name: str = "secondread", token: str = ""
) -> list[Reading]:
    """Read images with a running server, over V2.

    Args:
        url: `http://host:port`, `https://host:port` or `grpc://host:port`.
        images: JPEG, PNG or DICOM files, at least one; sent as many at a time as one request may hold.
        name: of the model.
        token: that the server wants; empty for none.
    Raises:
        InputError: a file is missing, the server refuses an image (the message names the file), or has no such model.
        DependencyError: nobody answers there, or not now.
    """
    asked = ask_server(url, images, name=name, token=token)
    return [reading for paths, answer in asked for reading in readings_of(paths, answer, model=name)]


def ask_server(
    url: str,
    images: Sequence[Path],
    *,
    name: str,
    token: str = "",
    most: int = contract.MAX_IMAGES,
    test: bool = False,
) -> Iterator[tuple[Sequence[Path], contract.Answer]]:
    """What a running server says of image files, request by request.

    Args:
        url: as `predict_with_server` has it.
        images: at least one.
        name: of the model.
        token: that the server wants; empty for none.
        most: images of one request.
        test: whether they are to test the server; then it does not compare them with val's.
    Raises:
        As `predict_with_server`.
    """
    scheme, _, address = url.rstrip("/").partition("://")
    if scheme not in ("http", "https", "grpc") or not address:
        raise InputError(f"'{url}' is no address of a server: give http://host:port or grpc://host:port.")
    data = read_files(images)
    ask = _ask_grpc if scheme == "grpc" else _ask_http
    for start in range(0, len(data), most):
        paths, part = images[start : start + most], data[start : start + most]
        yield paths, _asked(partial(ask, url, address, name, part, _authorization(token), test), url, paths)


def read_files(images: Sequence[Path]) -> list[bytes]:
    """The bytes of image files.

    Raises:
        InputError: there is none, or one cannot be read; the message names it.
    """
    if not images:
        raise InputError("there is no image to read: name at least one JPEG, PNG or DICOM file.")
    return [_read(path) for path in images]


def pixels_of(images: Sequence[Path], data: Sequence[bytes], spec: Preprocessing) -> npt.NDArray[np.uint8]:
    """What a model reads of image files.

    Args:
        images: where they came from, for errors.
        data: their bytes.
        spec: of the model.
    Returns:
        uint8 (images, 1, size, size).
    Raises:
        InputError: one is no image; the message names it.
    """
    return np.stack([_pixels(path, each, spec) for path, each in zip(images, data, strict=True)])[:, np.newaxis]


def _read(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name a JPEG, PNG or DICOM file.") from error


def _pixels(path: Path, data: bytes, spec: Preprocessing) -> npt.NDArray[np.uint8]:
    try:
        return preprocess(data, spec)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error


def _asked(ask: Callable[[], contract.Answer], url: str, images: Sequence[Path]) -> contract.Answer:
    """Ask, and give what goes wrong the exception that it has here."""
    from tritonclient.utils import InferenceServerException

    try:
        return ask()
    except InferenceServerException as error:
        if "failed to connect" in error.message():
            raise _nobody(url, "connection refused") from error
        kind = _ERRORS.get(str(error.status()), DependencyError)
        if _MESSAGE_TOO_LARGE in error.message():
            kind = TooLargeError
        raise kind(f"{url}: {_with_path(error.message(), images)}") from error
    except OSError as error:
        raise _nobody(url, str(error)) from error


def _nobody(url: str, reason: str) -> DependencyError:
    return DependencyError(f"no server answers at {url} ({reason}): start one with `secondread serve`.")


def _with_path(message: str, images: Sequence[Path]) -> str:
    """The server knows an image by its index in the request; people know it by its path."""
    found = re.match(r"image (\d+)\b", message)
    return message.replace(found[0], str(images[int(found[1])]), 1) if found else message


def _authorization(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


def _parameters(test: bool) -> dict[str, bool] | None:
    return {contract.TEST: True} if test else None


def _ask_http(
    url: str, address: str, name: str, data: Sequence[bytes], headers: dict[str, str], test: bool
) -> contract.Answer:
    from tritonclient import http

    client = http.InferenceServerClient(
        address, ssl=url.startswith("https"), connection_timeout=_ANSWER_SECONDS, network_timeout=_ANSWER_SECONDS
    )
    try:
        asked = [_tensor(http.InferInput, data)]
        result = client.infer(name, asked, headers=headers, parameters=_parameters(test))
        return _answer(result, result.get_response()["parameters"])
    finally:
        client.close()


def _ask_grpc(
    url: str, address: str, name: str, data: Sequence[bytes], headers: dict[str, str], test: bool
) -> contract.Answer:
    if "kserve" in sys.modules:
        raise DependencyError(
            f"{url}: this process has loaded the KServe SDK, whose gRPC messages have the same names as those of "
            "tritonclient, and only one of them fits into a process. Use the http:// address."
        )
    from tritonclient import grpc

    with grpc.InferenceServerClient(address) as client:
        asked = [_tensor(grpc.InferInput, data)]
        result = client.infer(
            name, asked, client_timeout=_ANSWER_SECONDS, headers=headers, parameters=_parameters(test)
        )
        given = result.get_response().parameters
        return _answer(
            result, {key: getattr(value, value.WhichOneof("parameter_choice")) for key, value in given.items()}
        )


def _tensor(kind: type[Any], data: Sequence[bytes]) -> Any:
    tensor = kind(contract.INPUT, [len(data)], "BYTES")
    tensor.set_data_from_numpy(np.array(data, dtype=np.object_))
    return tensor


def _answer(result: Any, parameters: dict[str, Any]) -> contract.Answer:
    known = {**contract.DATATYPES, **contract.EXPLAINING_DATATYPES}
    tensors = {name: result.as_numpy(name) for name in known if result.as_numpy(name) is not None}
    words = {name for name in tensors if known[name] == "BYTES"}
    texts = {name: np.array([each.decode() for each in tensors[name]], dtype=np.object_) for name in words}
    return contract.Answer({**tensors, **texts}, parameters)
