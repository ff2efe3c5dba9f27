"""The gRPC side: the SDK's servicer, with our admission, our errors and no way to load or unload models."""

from __future__ import annotations

from typing import Any

import grpc

from secondread.config import ServeConfig
from secondread.errors import InputError, OverloadedError, SecondReadError
from secondread.serving.rest import ReadyDataPlane
from secondread.serving.sdk import (
    ExceptionToStatusInterceptor,
    InferenceServicer,
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

        async def read() -> InferRequest:
            try:
                self.validate_grpc_request(request)
                return InferRequest.from_grpc(request)
            except InvalidInput as error:
                raise InputError(str(error)) from error

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


def create_server(transformer: Transformer, plane: ReadyDataPlane, config: ServeConfig) -> tuple[Any, int]:
    """The gRPC server, bound to its port.

    Args:
        transformer: that answers.
        plane: for health and metadata.
        config: address, port and limit of a message.
    Returns:
        The server (not started) and its port.
    Raises:
        RuntimeError: the port is taken.
    """
    server = grpc.aio.server(
        interceptors=(_Errors(),),
        options=[
            ("grpc.max_receive_message_length", config.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # two servers on one port would share its requests without a word
        ],
    )
    add_GRPCInferenceServiceServicer_to_server(Service(transformer, plane), server)
    return server, server.add_insecure_port(f"{config.host}:{config.grpc_port}")
