"""What every server of V2 must do, asked by one client.

Run as a program by `test_conformance.py`, a process for each client: the KServe SDK and tritonclient's gRPC do not fit
into one.

    python suite.py CLIENT SUBJECT_JSON

It prints JSON, for each check {"says": what}, {"refused": sentence} or {"broken": error}.
"""

from __future__ import annotations

import base64
import importlib
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """The server said no, on purpose: 4xx, or the gRPC status that stands for it."""


def refusal(status: object, sentence: object) -> Refused:
    """What a client's error is, by its HTTP status or the name of its gRPC status."""
    if not re.fullmatch(r"4\d\d|(StatusCode\.)?(INVALID_ARGUMENT|NOT_FOUND)", str(status)):
        raise RuntimeError(f"neither an answer nor a refusal: {status} {sentence}")
    return Refused(str(sentence))


# What clients have no call for that ask for nothing but an answer.
METADATA_AND_VERSIONS = frozenset(
    {
        *("version_ready", "server_metadata", "model_metadata", "version_metadata", "wrong_model_metadata"),
        *("infer_version", "infer_some_outputs", "wrong_version", "wrong_output"),
    }
)


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes:
        model, version: asked for; an empty version is any.
        input, datatype, shape: of the tensor, as they are said to the server.
        data: its elements: bytes of each, or uint8 of shape `shape`.
        outputs: that are wanted; all when empty.
        id: of the request.
    """

    model: str
    version: str
    input: str
    datatype: str
    shape: tuple[int, ...]
    data: Any
    outputs: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True)
class Told:
    """One answer: its tensors in order, the model's name and version, and the request's id."""

    tensors: dict[str, np.ndarray]
    model: str
    version: str
    id: str

    def to_json(self) -> dict[str, Any]:
        """As JSON, bytes as text."""
        return {
            "tensors": {name: _json(tensor) for name, tensor in self.tensors.items()},
            "shapes": {name: list(tensor.shape) for name, tensor in self.tensors.items()},
            "model": self.model,
            "version": self.version,
            "id": self.id,
        }


def _json(tensor: np.ndarray) -> Any:
    if tensor.dtype == np.object_ or tensor.dtype.kind in "SU":
        return [each.decode() if isinstance(each, bytes) else each for each in tensor.ravel().tolist()]
    return tensor.tolist()


def checks(client: Any, ask: Ask) -> dict[str, Callable[[], Any]]:
    """Name to check; a check gives what the server says, or raises Refused."""

    def infer(**changes: Any) -> Any:
        return client.infer(replace(ask, **changes)).to_json()

    wrong = np.zeros((1, 3), np.float32)
    return {
        "live": client.live,
        "ready": client.ready,
        "model_ready": lambda: client.model_ready(ask.model, ""),
        "version_ready": lambda: client.model_ready(ask.model, ask.version),
        "server_metadata": lambda: client.server_metadata(),
        "model_metadata": lambda: client.model_metadata(ask.model, ""),
        "version_metadata": lambda: client.model_metadata(ask.model, ask.version),
        "infer": infer,
        "infer_version": lambda: infer(version=ask.version),
        "infer_some_outputs": lambda: infer(outputs=("probabilities",)),
        "infer_id": lambda: infer(id="request-7"),
        "wrong_model": lambda: infer(model="another"),
        "wrong_model_metadata": lambda: client.model_metadata("another", ""),
        "wrong_version": lambda: infer(version="99"),
        "wrong_input_name": lambda: infer(input="another"),
        "wrong_datatype": lambda: infer(datatype="FP32", shape=(1, 3), data=wrong),
        "wrong_shape": lambda: infer(shape=(*ask.shape, 7)),
        "wrong_count": lambda: infer(shape=(ask.shape[0] + 1, *ask.shape[1:])),
        "wrong_output": lambda: infer(outputs=("another",)),
        "live_after_all": client.live,
    }


def outcomes(client: Any, ask: Ask) -> dict[str, Any]:
    """What came of every check that the client can ask."""
    found = {}
    for name, check in checks(client, ask).items():
        if name in client.cannot:
            continue
        try:
            found[name] = {"says": check()}
        except Refused as refused:
            found[name] = {"refused": str(refused)}
        except Exception as error:  # noqa: BLE001 - what a client makes of an answer may be anything
            found[name] = {"broken": f"{type(error).__name__}: {error}"}
    return found


def ask_of(document: dict[str, Any]) -> Ask:
    """The right request, out of the subject's JSON."""
    raw = [base64.b64decode(each) for each in document["data"]]
    shape = tuple(document["shape"])
    data = raw if document["datatype"] == "BYTES" else np.frombuffer(b"".join(raw), np.uint8).reshape(shape)
    return Ask(document["model"], document["version"], document["input"], document["datatype"], shape, data)


if __name__ == "__main__":
    # as a module by this name, so that the clients' Refused is the one that is caught
    sys.path.insert(0, str(Path(__file__).parent))
    suite = importlib.import_module("suite")
    subject = json.loads(sys.argv[2])
    address = subject["grpc_address"] if sys.argv[1].endswith("grpc") else subject["address"]
    client = importlib.import_module(sys.argv[1]).Client(address)
    sys.stdout.write(json.dumps(suite.outcomes(client, suite.ask_of(subject))))
