"""The KServe SDK's client over gRPC. It has no metadata, and no version of a request."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest
from suite import METADATA_AND_VERSIONS, Ask, Told, refusal


class Client:
    """One server's."""

    cannot = METADATA_AND_VERSIONS

    def __init__(self, address: str) -> None:
        self._address = address

    def live(self) -> bool:
        return self._run(lambda client: client.is_server_live())

    def ready(self) -> bool:
        return self._run(lambda client: client.is_server_ready())

    def model_ready(self, model: str, version: str) -> bool:  # noqa: ARG002
        return self._run(lambda client: client.is_model_ready(model))

    def infer(self, ask: Ask) -> Told:
        data = np.array(ask.data, np.object_) if isinstance(ask.data, list) else ask.data
        tensor = InferInput(ask.input, list(data.shape), ask.datatype)
        tensor.set_data_from_numpy(data)
        tensor._shape = list(ask.shape)
        request = InferRequest(ask.model, [tensor], request_id=ask.id or None)
        answer = self._run(lambda client: client.infer(request))
        tensors = {output.name: output.as_numpy() for output in answer.outputs}
        return Told(tensors, answer.model_name, answer.model_version, answer.id)

    def _run(self, ask: Any) -> Any:
        async def run() -> Any:
            client = InferenceGRPCClient(self._address, retries=2)
            try:
                return await ask(client)
            except grpc.RpcError as error:
                raise refusal(error.code(), error.details()) from error
            finally:
                await client.close()

        return asyncio.run(run())
