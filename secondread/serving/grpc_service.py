"""The gRPC side: the SDK's servicer, with our admission, our errors and no way to load or unload models."""

from __future__ import annotations

from typing import Any

import grpc

from secondread.config.serve import ServeConfig
from secondread.errors import InputError, OverloadedError, SecondReadError
from secondread.serving import contract
from secondread.serving.admission import HeldBytes
from secondread.serving.rest import ReadyDataPlane
from secondread.serving.sdk import (
    ExceptionToStatusInterceptor,
    InferenceServicer,
    InferInput,
    InferRequest,
    InvalidInput,
    ModelNotFound,
    add_GRPCInferenceServiceServicer_to_server,
    messages,
)
from secondread.serving.transformer import Transformer

# One gRPC status for each HTTP status of the exception tree.
_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


# Calls beside the admitted ones: health and metadata, and those that are told in a sentence why they are refused.
_SPARE_CALLS = 8
_KEEPALIVE_SECONDS = 60  # between two questions to a silent client whether it is still there
_KEEPALIVE_TIMEOUT_SECONDS = 20  # for its answer


class Service(InferenceServicer):  # type: ignore[misc]
    """V2 over gRPC for one model.

    Args:
        transformer: that answers.
        plane: for health and metadata.
    """

    def __init__(self, transformer: Transformer, plane: ReadyDataPlane) -> None:
        super().__init__(plane, None)
        self._transformer = transformer

    async def ModelInfer(self, request: messages.ModelInferRequest, context: Any) -> messages.ModelInferResponse:  # noqa: N802
        """Answer one request."""

        async def read(held: HeldBytes) -> InferRequest:
            for tensor in request.inputs:  # before the SDK makes Python objects of numbers that nobody asked for
                contract.check_input(tensor.name, tensor.datatype, list(tensor.shape))
            try:
                self.validate_grpc_request(request)
                parsed = InferRequest.from_grpc(request)
            except InvalidInput as error:
                raise InputError(str(error)) from error
            held.add(sum(map(_held_by, parsed.inputs)))
            return parsed

        try:
            self._transformer.check(request.model_name, request.model_version)
            response = await self._transformer.answer(read)
        except ModelNotFound as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except SecondReadError as error:
            trailer: tuple[tuple[str, str], ...] = ()
            if isinstance(error, OverloadedError):
                trailer = (("retry-after", str(error.retry_after_seconds)),)
            await context.abort(_STATUS.get(error.http_status, grpc.StatusCode.INTERNAL), str(error), trailer)
        return response.to_grpc()

    async def RepositoryModelLoad(self, _request: Any, context: Any) -> None:  # noqa: N802
        """Refused: which model runs is decided by the rollout."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "models are changed by a rollout, not over this port.")

    async def RepositoryModelUnload(self, _request: Any, context: Any) -> None:  # noqa: N802
        """Refused: which model runs is decided by the rollout."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "models are changed by a rollout, not over this port.")


class _Errors(ExceptionToStatusInterceptor):  # type: ignore[misc]
    """The SDK's, which would answer a second time when a call was already ended on purpose."""

    async def handle_exception(self, ex: Exception, request_or_iterator: Any, context: Any, method_name: str) -> None:
        if isinstance(ex, grpc.aio.AbortError):
            raise ex
        await super().handle_exception(ex, request_or_iterator, context, method_name)


def _held_by(tensor: InferInput) -> int:
    """Bytes of a tensor, raw or as its elements."""
    return len(tensor._raw_data) if tensor._raw_data is not None else sum(map(len, tensor.data or ()))


def create_server(transformer: Transformer, plane: ReadyDataPlane, config: ServeConfig) -> tuple[Any, int]:
    """The gRPC server, bound to its port.

    gRPC reads a message whole before anyone can look at it, so that memory is bounded by the number of calls times the
    size of a message. A call whose message never comes ends with its connection, which has an age limit.

    Args:
        transformer: that answers.
        plane: for health and metadata.
        config: address, port, limit of a message and age of a connection.
    Returns:
        The server (not started) and its port.
    Raises:
        RuntimeError: the port is taken.
    """
    server = grpc.aio.server(
        interceptors=(_Errors(),),
        maximum_concurrent_rpcs=max_calls(config),
        options=[
            ("grpc.max_receive_message_length", config.max_grpc_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # two servers on one port would share its requests without a word
            ("grpc.keepalive_time_ms", _KEEPALIVE_SECONDS * 1000),
            ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_SECONDS * 1000),
            ("grpc.max_connection_age_ms", round(config.max_connection_seconds * 1000)),
            ("grpc.max_connection_age_grace_ms", round(config.body_timeout_seconds * 1000)),
        ],
    )
    add_GRPCInferenceServiceServicer_to_server(Service(transformer, plane), server)
    return server, server.add_insecure_port(f"{config.host}:{config.grpc_port}")


def max_calls(config: ServeConfig) -> int:
    """gRPC calls at the same time, of which each may hold a whole message."""
    return config.max_in_flight + _SPARE_CALLS
