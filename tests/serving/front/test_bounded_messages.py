"""gRPC messages whose fields are too many are refused before they are made; all others are as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from secondread.serving.front.bounded_messages import MOST_FIELDS, fields_in
from secondread.serving.transformer.sdk import GRPCInferenceServiceStub, messages

Request = messages.ModelInferRequest
KIND = Request.DESCRIPTOR
MIB = 1 << 20


def inside(number: int, data: bytes) -> bytes:
    """A field that holds so much."""
    size, length = len(data), bytearray()
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + data


EMPTY_CONTENTS = inside(8, b"")
MANY = {
    "inputs": inside(5, b"") * MOST_FIELDS,
    "outputs": inside(6, b"") * MOST_FIELDS,
    "names": inside(1, b"") * MOST_FIELDS,
    "parameters": b"".join(inside(4, inside(1, str(key).encode())) for key in range(MOST_FIELDS)),
    "contents": inside(5, inside(5, EMPTY_CONTENTS * MOST_FIELDS)),
    "contents a piece each": inside(5, inside(5, EMPTY_CONTENTS) * MOST_FIELDS),
    "packed numbers": inside(5, inside(5, inside(2, b"\0" * MOST_FIELDS))),
    "numbers one by one": inside(5, b"\x18\1" * MOST_FIELDS),
    "unknown": b"\x79" + bytes(8) + b"\x7d" + bytes(4) + (b"\x7b\x7c" * MOST_FIELDS),
}


@pytest.mark.parametrize("what", MANY)
def test_fields_are_counted_wherever_they_are(what: str) -> None:
    Request.FromString(MANY[what])  # protobuf takes it
    assert fields_in(MANY[what] + inside(3, b"id"), KIND) > MOST_FIELDS


def test_the_images_themselves_are_not_looked_into() -> None:
    packed = inside(5, b"") * MOST_FIELDS
    for request in (Request(raw_input_contents=[packed]), Request(inputs=[{"contents": {"bytes_contents": [packed]}}])):
        assert fields_in(request.SerializeToString(), KIND) <= 3


def test_a_full_request_is_far_below_the_limit() -> None:
    outputs = [{"name": str(output), "parameters": {"binary_data": {"bool_param": True}}} for output in range(9)]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [32], "contents": {"bytes_contents": [b"image"] * 32}}
    request = Request(model_name="m", model_version="1", id="id", inputs=[tensor], outputs=outputs)
    assert fields_in(request.SerializeToString(), KIND) < MOST_FIELDS / 5


@pytest.mark.parametrize(
    "data", [b"\x2a", b"\x2a\x05\x0a", b"\xff" * 20, b"\x0f\x00", b"\x79\x00", b"\x2a\xff\xff\x7f"]
)
def test_damaged_messages_are_left_to_protobuf(data: bytes) -> None:
    assert fields_in(data, KIND) < 3


@pytest.mark.parametrize("call", ["ModelInfer", "RepositoryModelLoad"])
def test_a_message_of_empty_inputs_is_refused_before_it_takes_memory(
    start: Callable[..., Any], stop: Callable[[Any], int], silent_predictor: str, tmp_path: Path, call: str
) -> None:
    """Nine MiB of them came to 400 MiB, before the token was asked for."""
    token = tmp_path / "tokens"
    token.write_text("a-token-of-16-or-more\n")
    server = start(predictor=silent_predictor, token_file=str(token))
    try:
        with grpc.insecure_channel(server.grpc_url) as channel:
            assert GRPCInferenceServiceStub(channel).ServerLive(messages.ServerLiveRequest()).live
            before = peak_bytes(server.process.pid)
            send = channel.unary_unary(f"/inference.GRPCInferenceService/{call}")
            with pytest.raises(grpc.RpcError) as caught:
                send(inside(5, b"") * (9 * MIB // 2))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert f"more than {MOST_FIELDS} fields: send one input" in caught.value.details()
        assert peak_bytes(server.process.pid) - before < 100 * MIB
    finally:
        stop(server)


def peak_bytes(pid: int) -> int:
    """The most memory that a process has ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10
