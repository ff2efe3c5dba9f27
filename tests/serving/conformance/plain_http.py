"""Plain HTTP and JSON, as curl would: numbers as lists, images as base64."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any

import numpy as np
from suite import Ask, Told, refusal

TYPES = {"FP32": np.float32, "BOOL": np.bool_, "BYTES": np.object_}


class Client:
    """One server's."""

    cannot = frozenset[str]()

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/v2"

    def live(self) -> Any:
        return self._get("/health/live")

    def ready(self) -> Any:
        return self._get("/health/ready")

    def model_ready(self, model: str, version: str) -> Any:
        return self._get(self._model(model, version) + "/ready")

    def server_metadata(self) -> Any:
        return json.loads(self._get(""))

    def model_metadata(self, model: str, version: str) -> Any:
        return json.loads(self._get(self._model(model, version)))

    def infer(self, ask: Ask) -> Told:
        body, headers = self.body(ask)
        answer, headers = self._ask(f"{self._model(ask.model, ask.version)}/infer", body, headers)
        return self.told(answer, headers)

    def body(self, ask: Ask) -> tuple[bytes, dict[str, str]]:
        tensor = {"name": ask.input, "datatype": ask.datatype, "shape": ask.shape, "data": self._data(ask)}
        document = {"inputs": [tensor], "outputs": [{"name": name} for name in ask.outputs], "id": ask.id}
        return json.dumps({key: value for key, value in document.items() if value}).encode(), {}

    def told(self, body: bytes, headers: Any) -> Told:  # noqa: ARG002 - of the binary extension
        answer = json.loads(body)
        tensors = {
            each["name"]: np.array(each["data"], TYPES[each["datatype"]]).reshape(each["shape"])
            for each in answer["outputs"]
        }
        return Told(tensors, answer["model_name"], answer["model_version"], answer.get("id", ""))

    @staticmethod
    def _data(ask: Ask) -> Any:
        if isinstance(ask.data, list):
            return [base64.b64encode(each).decode() for each in ask.data]
        return ask.data.tolist()

    @staticmethod
    def _model(model: str, version: str) -> str:
        return f"/models/{model}/versions/{version}" if version else f"/models/{model}"

    def _get(self, path: str) -> str:
        return self._ask(path, None, {})[0].decode()

    def _ask(self, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[bytes, Any]:
        try:
            with urllib.request.urlopen(urllib.request.Request(self._url + path, body, headers), timeout=30) as answer:
                return answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                raise refusal(error.code, json.load(error)["error"]) from error
