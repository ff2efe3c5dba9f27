"""gRPC messages whose fields are counted before they are made: a limit on bytes alone does not bound what they become.

An empty `inputs` takes two bytes on the wire and some ninety in memory, and gRPC makes the message before anyone is
asked for a token. So the wire is walked first, no further than the limit, which an ordinary request is far below.

Source: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import grpc

from secondread.errors import InputError
from secondread.serving.observe.observed import note
from secondread.serving.protocol import contract
from secondread.serving.transformer.sdk import messages

MOST_FIELDS = 1000  # of a message, and numbers in it; 32 images with their names, outputs and parameters are below 200
_SENTENCE = (
    f"the message has more than {MOST_FIELDS} fields: send one input, '{contract.INPUT}' of type BYTES, with the "
    "images in raw_input_contents or bytes_contents."
)
_VARINT_BYTES = 10
_BYTES_OF = {1: 8, 5: 4}  # by wire type: numbers of a fixed length
_VARINT, _LENGTH, _GROUPS = 0, 2, (3, 4)

# What may be more than one thing in a message, by its field's number: a message, or (None) packed numbers.
_Shape: TypeAlias = "dict[int, _Shape | None]"


class BoundedMessages(grpc.ServerInterceptor):  # type: ignore[misc]
    """Refuses messages with more than `MOST_FIELDS`, unread."""

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Wrap the handler of a call."""
        handler = continuation(details)
        if handler is None:
            return None
        kind = _kinds()[details.method.rpartition("/")[2]]

        def read(data: bytes) -> Any:
            return handler.request_deserializer(data) if fields_in(data, kind) <= MOST_FIELDS else _Refused(len(data))

        def answer(request: Any, context: Any) -> Any:
            if isinstance(request, _Refused):
                note({"error.type": InputError.__name__})
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, _SENTENCE)
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=read, response_serializer=handler.response_serializer
        )


@dataclass(frozen=True)
class _Refused:
    """In a message's place: what raises while a message is read ends the call without a sentence."""

    size: int

    def ByteSize(self) -> int:  # noqa: N802 - as a message has it
        return self.size


def fields_in(data: bytes, kind: Any) -> int:
    """How many fields a message has, those of messages in it too; counted to a little above `MOST_FIELDS`.

    Args:
        data: on the wire. Where it is damaged, the count ends, as protobuf does.
        kind: descriptor of the message.
    """
    return _count(data, 0, len(data), _shape(kind), MOST_FIELDS)


def _count(data: bytes, at: int, end: int, shape: _Shape, most: int) -> int:
    found = 0
    try:
        while at < end and found <= most:
            tag, at = _varint(data, at)
            number, wire = tag >> 3, tag & 7
            found += 1
            if wire == _LENGTH:
                length, at = _varint(data, at)
                if number in shape:
                    inside, inner_end = shape[number], min(at + length, end)
                    # a packed number takes a byte at the least
                    found += length if inside is None else _count(data, at, inner_end, inside, most - found)
                at += length
            elif wire == _VARINT:
                _, at = _varint(data, at)
            elif wire not in _GROUPS:  # their fields follow like any
                at += _BYTES_OF[wire]
    except LookupError:
        pass
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends.

    Raises:
        LookupError: it has no end.
    """
    value = 0
    for place in range(_VARINT_BYTES):
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise LookupError


@lru_cache
def _kinds() -> dict[str, Any]:
    """The message of each call."""
    service = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    return {method.name: method.input_type for method in service.methods}


@lru_cache
def _shape(kind: Any) -> _Shape:
    return {
        field.number: None if field.message_type is None else _shape(field.message_type)
        for field in kind.fields
        if field.type not in (field.TYPE_STRING, field.TYPE_BYTES)
    }
