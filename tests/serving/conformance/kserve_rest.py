"""The KServe SDK's client over REST. It has no metadata, and no version in the path of a request."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable
from typing import Any, TypeVar

import httpx
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from suite import METADATA_AND_VERSIONS, Ask, Told, refusal

T = TypeVar("T")


class Client:
    """One server's."""

    cannot = METADATA_AND_VERSIONS

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}"

    def live(self) -> bool:
        return self._run(lambda client: client.is_server_live(self._url))

    def ready(self) -> bool:
        return self._run(lambda client: client.is_server_ready(self._url))

    def model_ready(self, model: str, version: str) -> bool:  # noqa: ARG002
        return self._run(lambda client: client.is_model_ready(self._url, model))

    def infer(self, ask: Ask) -> Told:
        data = [base64.b64encode(each).decode() for each in ask.data] if isinstance(ask.data, list) else ask.data
        tensor = InferInput(ask.input, list(ask.shape), ask.datatype, data=data if isinstance(data, list) else None)
        if not isinstance(data, list):
            tensor.set_data_from_numpy(data.reshape(data.shape), binary_data=True)
            tensor._shape = list(ask.shape)
        request = InferRequest(ask.model, [tensor], request_id=ask.id or None)
        answer = self._run(lambda client: client.infer(self._url, request, ask.model))
        tensors = {output.name: output.as_numpy() for output in answer.outputs}
        return Told(tensors, answer.model_name, answer.model_version, answer.id)

    def _run(self, ask: Any) -> Any:
        async def run() -> Any:
            async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:
                return await refused(ask(client))

        return asyncio.run(run())


async def refused(answer: Awaitable[T]) -> T:
    """Wait for it, and know a refusal from a fault."""
    try:
        return await answer
    except httpx.HTTPStatusError as error:
        raise refusal(error.response.status_code, error.response.json()["error"]) from error
