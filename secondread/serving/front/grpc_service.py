"""The gRPC side: V2's service for one model, with our admission, our errors and no way to load or unload models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc

from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError, InputError, SecondReadError
from secondread.logging import get_logger
from secondread.serving.front.access import Access
from secondread.serving.front.bounded_messages import BoundedMessages
from secondread.serving.protocol import contract
from secondread.serving.protocol.contract import Answer, Request
from secondread.serving.transformer.admission import HeldBytes
from secondread.serving.transformer.sdk import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
    messages,
)
from secondread.serving.transformer.transformer import Transformer

# One gRPC status for each HTTP status of the exception tree. RESOURCE_EXHAUSTED is gRPC's own: it says so of a message
# above the limit, and when all calls are taken.
_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    499: grpc.StatusCode.DEADLINE_EXCEEDED,  # nobody else is there to read it
    503: grpc.StatusCode.UNAVAILABLE,
}


# Calls beside the admitted ones: health and metadata, and those that are told in a sentence why they are refused.
_SPARE_CALLS = 8
_KEEPALIVE_SECONDS = 60  # between two questions to a silent client whether it is still there
_KEEPALIVE_TIMEOUT_SECONDS = 20  # for its answer

T = TypeVar("T")

log = get_logger(__name__)


class Service(GRPCInferenceServiceServicer):  # type: ignore[misc]
    """V2 over gRPC for one model. Each call has a thread of its own.

    Args:
        transformer: that answers.
        access: says who may ask.
    """

    def __init__(self, transformer: Transformer, access: Access) -> None:
        self._transformer, self._access = transformer, access

    def ServerLive(self, _request: Any, _context: Any) -> messages.ServerLiveResponse:  # noqa: N802
        """Whether this process answers."""
        return messages.ServerLiveResponse(live=True)

    def ServerReady(self, _request: Any, _context: Any) -> messages.ServerReadyResponse:  # noqa: N802
        """Whether an image that came now would be answered."""
        return messages.ServerReadyResponse(ready=self._transformer.is_ready())

    def ModelReady(  # noqa: N802
        self, request: messages.ModelReadyRequest, context: Any
    ) -> messages.ModelReadyResponse:
        """The same, of a model by name."""
        served = with_errors(context, lambda: self._transformer.versions.find(request.name, request.version))
        return messages.ModelReadyResponse(ready=self._transformer.ready and served.predictor.ready())

    def ServerMetadata(self, _request: Any, _context: Any) -> messages.ServerMetadataResponse:  # noqa: N802
        """What server this is."""
        return messages.ServerMetadataResponse(**contract.server_metadata())

    def ModelMetadata(  # noqa: N802
        self, request: messages.ModelMetadataRequest, context: Any
    ) -> messages.ModelMetadataResponse:
        """The model's inputs and outputs."""
        versions = self._transformer.versions
        served = with_errors(context, lambda: versions.find(request.name, request.version))
        return messages.ModelMetadataResponse(**contract.model_metadata(served.model, versions.numbers(request.name)))

    def ModelInfer(  # noqa: N802
        self, request: messages.ModelInferRequest, context: Any
    ) -> messages.ModelInferResponse:
        """Answer one request."""

        def parse(held: HeldBytes) -> Request:
            self._access.check(dict(context.invocation_metadata()).get("authorization"))
            return parse_request(request, held)

        asked, answer = with_errors(
            context,
            lambda: self._transformer.answer_now(
                request.model_name,
                request.model_version,
                parse,
                seconds=context.time_remaining(),
                is_there=context.is_active,
            ),
        )
        version = str(answer.parameters["model_version"])
        return encode_answer(asked, answer, name=request.model_name, version=version)

    def RepositoryModelLoad(self, _request: Any, context: Any) -> None:  # noqa: N802
        """Refused: which model runs is decided by the rollout."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "models are changed by a rollout, not over this port.")

    def RepositoryModelUnload(self, _request: Any, context: Any) -> None:  # noqa: N802
        """Refused: which model runs is decided by the rollout."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "models are changed by a rollout, not over this port.")


def with_errors(context: Any, work: Callable[[], T]) -> T:
    """Do it, and end the call with the status and the sentence of what goes wrong."""
    try:
        return work()
    except SecondReadError as error:
        trailer: tuple[tuple[str, str], ...] = ()
        if isinstance(error, DependencyError):
            trailer = (("retry-after", str(error.retry_after_seconds)),)
        context.set_trailing_metadata(trailer)
        context.abort(_STATUS.get(error.http_status, grpc.StatusCode.INTERNAL), str(error))
    except Exception as error:
        log.exception("a bug of ours")
        context.abort(grpc.StatusCode.INTERNAL, f"a bug of ours ({type(error).__name__}): please report it.")
    raise AssertionError("abort always raises")


def parse_request(request: messages.ModelInferRequest, held: HeldBytes) -> Request:
    """Read a message.

    Args:
        request: of a client.
        held: accounts for its bytes.
    Raises:
        InputError: not what the inference API says.
        TooLargeError: more images than one request may hold.
        OverloadedError: there is no room for so many bytes beside those of other requests.
    """
    if len(request.inputs) != 1:
        raise InputError(f"the request has {len(request.inputs)} inputs: send one, '{contract.INPUT}'.")
    (tensor,) = request.inputs
    shape = list(tensor.shape)
    contract.check_input(tensor.name, tensor.datatype, shape)
    raw = request.raw_input_contents
    if len(raw) > 1 or (raw and tensor.contents.bytes_contents):
        raise InputError("the input's bytes came twice: send raw_input_contents, or bytes_contents, for the one input.")
    held.add(sum(map(len, raw)) or sum(map(len, tensor.contents.bytes_contents)))
    elements = contract.from_packed(raw[0], shape[0]) if raw else list(tensor.contents.bytes_contents)
    images, urls = contract.what_is_asked(tensor.name, elements, shape)
    return Request(
        images=images,
        urls=urls,
        id=request.id,
        outputs=tuple(output.name for output in request.outputs),
        test=_is_test(request),
    )


def _is_test(request: messages.ModelInferRequest) -> bool:
    if contract.TEST not in request.parameters:  # to ask for it would put it there
        return False
    value = request.parameters[contract.TEST]
    if value.WhichOneof("parameter_choice") != "bool_param":
        raise InputError(f"'{contract.TEST}' is neither true nor false: send one of them, or leave it out.")
    return bool(value.bool_param)


def encode_answer(request: Request, answer: Answer, *, name: str, version: str) -> messages.ModelInferResponse:
    """The message of an answer, its tensors raw.

    Args:
        request: that is answered.
        answer: to it.
        name: of the model.
        version: of the model.
    """
    response = messages.ModelInferResponse(
        model_name=name,
        model_version=version,
        id=request.id,
        outputs=[
            {"name": output, "datatype": contract.datatype(tensor), "shape": tensor.shape}
            for output, tensor in answer.tensors.items()
        ],
        raw_output_contents=[contract.to_raw(tensor) for tensor in answer.tensors.values()],
    )
    for key, value in answer.parameters.items():
        if isinstance(value, bool):
            response.parameters[key].bool_param = value
        else:
            response.parameters[key].string_param = value
    return response


def create_server(
    transformer: Transformer,
    access: Access,
    config: ServeConfig,
    *,
    interceptors: Sequence[grpc.ServerInterceptor] = (),
) -> tuple[Any, int]:
    """The gRPC server, bound to its port.

    gRPC reads a message whole before anyone can look at it, so that memory is bounded by the number of calls times the
    size of a message; what is made of it is bounded by `BoundedMessages`. A call whose message never comes ends with
    its connection, which has an age limit.

    Args:
        transformer: that answers.
        access: says who may ask.
        config: address, port, limit of a message and age of a connection.
        interceptors: that see each call.
    Returns:
        The server (not started) and its port.
    Raises:
        RuntimeError: the port is taken.
    """
    server = grpc.server(
        ThreadPoolExecutor(max_calls(config), thread_name_prefix="grpc"),
        interceptors=[*interceptors, BoundedMessages()],
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
    add_GRPCInferenceServiceServicer_to_server(Service(transformer, access), server)
    return server, server.add_insecure_port(f"{config.host}:{config.grpc_port}")


def max_calls(config: ServeConfig) -> int:
    """gRPC calls at the same time, of which each may hold a whole message."""
    return config.max_in_flight + _SPARE_CALLS
