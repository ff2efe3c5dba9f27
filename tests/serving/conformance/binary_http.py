"""Plain HTTP with the binary extension, both ways, written by hand."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import plain_http
from suite import Ask, Told

LENGTH = "Inference-Header-Content-Length"


class Client(plain_http.Client):
    """One server's."""

    def body(self, ask: Ask) -> tuple[bytes, dict[str, str]]:
        if isinstance(ask.data, list):
            raw = b"".join(struct.pack("<I", len(each)) + each for each in ask.data)
        else:
            raw = ask.data.tobytes()
        tensor = {"name": ask.input, "datatype": ask.datatype, "shape": ask.shape}
        document = {
            "id": ask.id,
            "inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}],
            "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in ask.outputs],
            "parameters": {"binary_data_output": True},
        }
        head = json.dumps({key: value for key, value in document.items() if value}).encode()
        return head + raw, {LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}

    def told(self, body: bytes, headers: Any) -> Told:
        cut = int(headers[LENGTH])
        answer, rest = json.loads(body[:cut]), body[cut:]
        tensors = {}
        for each in answer["outputs"]:
            assert "data" not in each
            size = each["parameters"]["binary_data_size"]
            tensors[each["name"]] = _tensor(each["datatype"], each["shape"], rest[:size])
            rest = rest[size:]
        assert not rest
        return Told(tensors, answer["model_name"], answer["model_version"], answer.get("id", ""))


def _tensor(datatype: str, shape: list[int], raw: bytes) -> np.ndarray:
    if datatype != "BYTES":
        return np.frombuffer(raw, plain_http.TYPES[datatype]).reshape(shape)
    elements = []
    while raw:
        (length,) = struct.unpack_from("<I", raw)
        elements.append(raw[4 : 4 + length])
        raw = raw[4 + length :]
    return np.array(elements, np.object_).reshape(shape)
