"""gRPC in Python and nothing else: each request for an inference is answered at once, with the same words.

`python -m benchmarks.peers.grpc_alone 8000`. The answer has the tensors that one image gets, with nothing in them.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from secondread.serving.transformer.sdk import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
    messages,
)

_THREADS = 32
_TENSORS = {"label": 12, "probabilities": 16, "confidence": 4, "ood_score": 4}  # and how many bytes of each


class Service(GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Says the same to everybody."""

    def ServerReady(self, _request: Any, _context: Any) -> messages.ServerReadyResponse:  # noqa: N802
        """It is."""
        return messages.ServerReadyResponse(ready=True)

    def ModelInfer(self, _request: Any, _context: Any) -> messages.ModelInferResponse:  # noqa: N802
        """An answer that took no work."""
        return messages.ModelInferResponse(
            model_name="secondread",
            outputs=[{"name": name, "datatype": "BYTES", "shape": [1]} for name in _TENSORS],
            raw_output_contents=[bytes(size) for size in _TENSORS.values()],
        )


def serve(port: int) -> None:
    """Answer until the process is ended."""
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    add_GRPCInferenceServiceServicer_to_server(Service(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
