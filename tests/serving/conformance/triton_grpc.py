"""tritonclient over gRPC."""

from __future__ import annotations

from typing import Any

from suite import Ask, Told
from triton_http import packed, refused
from tritonclient import grpc


class Client:
    """One server's."""

    cannot = frozenset[str]()

    def __init__(self, address: str) -> None:
        self._client = grpc.InferenceServerClient(address)

    def live(self) -> bool:
        return self._client.is_server_live()

    def ready(self) -> bool:
        return self._client.is_server_ready()

    def model_ready(self, model: str, version: str) -> bool:
        return self._client.is_model_ready(model, version)

    def server_metadata(self) -> Any:
        return self._client.get_server_metadata(as_json=True)

    def model_metadata(self, model: str, version: str) -> Any:
        return refused(lambda: self._client.get_model_metadata(model, version, as_json=True))

    def infer(self, ask: Ask) -> Told:
        tensor = grpc.InferInput(ask.input, list(ask.shape), ask.datatype)
        tensor._raw_content = packed(ask)
        result = refused(
            lambda: self._client.infer(
                ask.model,
                [tensor],
                model_version=ask.version,
                outputs=[grpc.InferRequestedOutput(name) for name in ask.outputs] or None,
                request_id=ask.id,
            )
        )
        answer = result.get_response()
        tensors = {output.name: result.as_numpy(output.name) for output in answer.outputs}
        return Told(tensors, answer.model_name, answer.model_version, answer.id)
