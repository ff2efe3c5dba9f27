"""tritonclient over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from suite import Ask, Told, refusal
from tritonclient import http
from tritonclient.utils import InferenceServerException

T = TypeVar("T")


class Client:
    """One server's."""

    cannot = frozenset[str]()

    def __init__(self, address: str) -> None:
        self._client = http.InferenceServerClient(address)

    def live(self) -> bool:
        return self._client.is_server_live()

    def ready(self) -> bool:
        return self._client.is_server_ready()

    def model_ready(self, model: str, version: str) -> bool:
        return self._client.is_model_ready(model, version)

    def server_metadata(self) -> Any:
        return self._client.get_server_metadata()

    def model_metadata(self, model: str, version: str) -> Any:
        return refused(lambda: self._client.get_model_metadata(model, version))

    def infer(self, ask: Ask) -> Told:
        tensor = http.InferInput(ask.input, list(ask.shape), ask.datatype)
        tensor._raw_data, tensor._parameters = packed(ask), {"binary_data_size": len(packed(ask))}
        result = refused(
            lambda: self._client.infer(
                ask.model,
                [tensor],
                model_version=ask.version,
                outputs=[http.InferRequestedOutput(name) for name in ask.outputs] or None,
                request_id=ask.id,
            )
        )
        answer = result.get_response()
        names = [output["name"] for output in answer["outputs"]]
        tensors = {name: result.as_numpy(name) for name in names}
        return Told(tensors, answer["model_name"], answer["model_version"], answer.get("id", ""))


def packed(ask: Ask) -> bytes:
    """The tensor's bytes. Handed over raw, since tritonclient itself refuses what does not fit its shape."""
    from tritonclient.utils import serialize_byte_tensor

    if isinstance(ask.data, list):
        return bytes(serialize_byte_tensor(np.array(ask.data, np.object_)).item())
    return ask.data.tobytes()


def refused(work: Callable[[], T]) -> T:
    """Do it, and know a refusal from a fault."""
    try:
        return work()
    except InferenceServerException as error:
        raise refusal(error.status(), error.message()) from error
