"""The transformer's line to Triton: raw tensors over gRPC, on one channel that stays open.

It speaks with the SDK's messages, not with `tritonclient`: both register the same V2 message names with protobuf, so
one process can load only one of them.
"""

from __future__ import annotations

from functools import lru_cache

import grpc
import numpy as np
import numpy.typing as npt

from secondread.errors import DependencyError, OverloadedError
from secondread.logging import get_logger
from secondread.serving.admission import ClientGoneError
from secondread.serving.sdk import GRPCInferenceServiceStub, messages

_READY_SECONDS = 2.0  # patience of a readiness check
READING = ("probabilities", "ood_score")  # the embedding is for batch jobs, not for every answer
_INFER = "/inference.GRPCInferenceService/ModelInfer"
_CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Triton may start after the transformer; gRPC's own pause between attempts grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # despite its name: how long one attempt may take
    # Triton is a neighbour; a proxy that the machine uses for the world has no part in this.
    ("grpc.enable_http_proxy", 0),
]

log = get_logger(__name__)


class Predictor:
    """One model on a Triton. May be asked from several threads at once.

    Args:
        address: host:port of its gRPC service.
        name: of the model.
        version: of the model; asked for by number, so that no other one can answer.
        timeout_seconds: for one answer.
        outputs: of the graph, to ask for.
    """

    def __init__(
        self, address: str, name: str, version: str, *, timeout_seconds: float, outputs: tuple[str, ...] = READING
    ) -> None:
        self._address, self._name, self._version, self._outputs = address, name, version, outputs
        self._timeout_seconds = timeout_seconds
        self._channel = grpc.insecure_channel(address, options=_CHANNEL)
        self._calls = GRPCInferenceServiceStub(self._channel)
        # The part of a request that depends on nothing but the number of images is written once.
        self._infer = self._channel.unary_unary(_INFER, response_deserializer=messages.ModelInferResponse.FromString)
        self._head = lru_cache(self._write_head)

    def ready(self) -> bool:
        """Whether Triton answers and has this version of the model loaded."""
        request = messages.ModelReadyRequest(name=self._name, version=self._version)
        try:
            return bool(self._calls.ModelReady(request, timeout=_READY_SECONDS).ready)
        except grpc.RpcError:
            return False

    def infer(
        self, pixels: npt.NDArray[np.uint8], *, seconds: float | None = None
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Ask for the figures of some images.

        Args:
            pixels: uint8 (images, 1, size, size).
            seconds: that whoever asked will wait; None: as long as it takes.
        Returns:
            Output to float32 (images, ...), as Triton gives them.
        Raises:
            OverloadedError: Triton's queue is full, or it did not answer in time.
            ClientGoneError: whoever asked waits no longer.
            DependencyError: Triton is down, or has no such model.
        """
        # Two messages one after the other are their union: protobuf's wire format has it so.
        raw = messages.ModelInferRequest(raw_input_contents=[pixels.tobytes()]).SerializeToString()
        patience = self._timeout_seconds if seconds is None else min(seconds, self._timeout_seconds)
        try:
            response = self._infer(self._head(pixels.shape) + raw, timeout=patience)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and patience < self._timeout_seconds:
                raise ClientGoneError("the client's deadline passed.") from error
            raise self._failure(error) from error
        return {
            output.name: np.frombuffer(raw, np.float32).reshape(output.shape)
            for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
        }

    def _write_head(self, shape: tuple[int, ...]) -> bytes:
        return bytes(
            messages.ModelInferRequest(
                model_name=self._name,
                model_version=self._version,
                inputs=[{"name": "pixels", "datatype": "UINT8", "shape": shape}],
                outputs=[{"name": name} for name in self._outputs],
            ).SerializeToString()
        )

    def _failure(self, error: grpc.RpcError) -> DependencyError:
        log.error("Triton at %s: %s %s", self._address, error.code().name, error.details())
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            return OverloadedError(f"the model server did not answer within {self._timeout_seconds:g} s. Try again.")
        if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
            return OverloadedError("the model server's queue is full. Try again.")
        return DependencyError(
            f"the model server does not answer for {self._name} version {self._version} ({error.code().name}). "
            "Try again once /v2/health/ready is true."
        )

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()
