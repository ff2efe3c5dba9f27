"""Triton's "onnxruntime" backend for the local server: opens `model.onnx` and runs it with onnxruntime.

The server from PyPI carries Triton's Python backend only. With this file as `<backend directory>/onnxruntime/model.py`
a repository that says `backend: "onnxruntime"` loads here unchanged, as it does in NVIDIA's image. It runs inside
Triton's process for Python, in an environment of its own (numpy < 2), so it imports nothing of SecondRead.

Threads of one run: the environment variable SECONDREAD_TRITON_THREADS, which the local server sets to the container's
CPU limit; else the parameter `intra_op_thread_count` of config.pbtxt; else one.

Source: https://github.com/triton-inference-server/backend/blob/main/docs/python_based_backends.md
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

THREADS_VARIABLE = "SECONDREAD_TRITON_THREADS"


class TritonPythonModel:
    """One instance of a model. Triton calls it from one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the graph.

        Args:
            args: `model_config` (JSON), `model_repository` (the model's folder) and `model_version`.
        """
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"]) / args["model_version"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _threads(config)
        options.inter_op_num_threads = 1
        # Threads may spin while they wait for each other; between runs they would take the CPU from whoever prepares
        # the next request.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._session = onnxruntime.InferenceSession(
            str(folder / (config.get("default_model_filename") or "model.onnx")),
            options,
            providers=["CPUExecutionProvider"],
        )
        self._inputs = [node.name for node in self._session.get_inputs()]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests that Triton put together, with one run of the graph.

        Args:
            requests: each with one or more images.
        Returns:
            One response a request, in order.
        """
        sizes = [
            pb_utils.get_input_tensor_by_name(request, self._inputs[0]).as_numpy().shape[0] for request in requests
        ]
        names = sorted({name for request in requests for name in request.requested_output_names()})
        feed = {name: _joined(requests, name) for name in self._inputs}
        values = dict(zip(names, self._session.run(names, feed), strict=True))
        responses, start = [], 0
        for request, size in zip(requests, sizes, strict=True):
            tensors = [
                pb_utils.Tensor(name, np.ascontiguousarray(values[name][start : start + size]))
                for name in request.requested_output_names()
            ]
            responses.append(pb_utils.InferenceResponse(output_tensors=tensors))
            start += size
        return responses


def _joined(requests: list[Any], name: str) -> Any:
    """One input of all requests, joined along the batch."""
    parts = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _threads(config: dict[str, Any]) -> int:
    parameter = config.get("parameters", {}).get("intra_op_thread_count", {}).get("string_value", "1")
    return max(1, int(os.environ.get(THREADS_VARIABLE) or parameter))
