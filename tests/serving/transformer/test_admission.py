"""Who is let in, how much they may hold, and what becomes of those who stall or go away."""

from __future__ import annotations

import http.client
import json
import math
import socket
import struct
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import yaml

from secondread.config.serve import ServeConfig
from secondread.data.pixels.decode import DecodeLimits
from secondread.errors import OverloadedError
from secondread.serving.front.grpc_service import max_calls
from secondread.serving.transformer.admission import Admission
from secondread.serving.transformer.sdk import GRPCInferenceServiceStub, messages

ROOT = Path(__file__).resolve().parents[3]
MIB = 1 << 20
INFER = "/v2/models/secondread/infer"
PATIENCE = 15.0  # seconds that a test waits for what takes one


def address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


def upload(server: Any, *, announced: int, sent: int) -> socket.socket:
    """Begin a request and stop in its middle."""
    client = socket.create_connection(address(server.url), timeout=PATIENCE)
    head = f"POST {INFER} HTTP/1.1\r\nHost: test\r\nContent-Length: {announced}\r\n\r\n"
    client.sendall(head.encode() + b" " * sent)
    return client


def answer_to(client: socket.socket) -> tuple[int, str, Any]:
    """Status, sentence and headers of the answer to a request that was begun."""
    response = http.client.HTTPResponse(client)
    response.begin()
    return response.status, json.load(response)["error"], response.headers


def infer(server: Any, *images: bytes) -> tuple[int, dict[str, Any]]:
    """Ask over REST, in the binary extension."""
    packed = b"".join(struct.pack("<I", len(image)) + image for image in images)
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(images)]}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(packed)}}]}).encode()
    with closing(http.client.HTTPConnection(*address(server.url), timeout=60)) as connection:
        connection.request("POST", INFER, head + packed, {"Inference-Header-Content-Length": str(len(head))})
        response = connection.getresponse()
        return response.status, json.load(response)


def message(*images: bytes) -> messages.ModelInferRequest:
    """A request for gRPC."""
    packed = b"".join(struct.pack("<I", len(image)) + image for image in images)
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(images)]}
    return messages.ModelInferRequest(model_name="secondread", inputs=[tensor], raw_input_contents=[packed])


@pytest.fixture
def stub(strict: Any) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(strict.grpc_url) as channel:
        yield GRPCInferenceServiceStub(channel)


def count(server: Any, code: str) -> float:
    """Requests that were counted under a status."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    name = f'secondread_requests_total{{code="{code}",'
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@pytest.fixture
def gone(strict: Any, wait_until: Callable[..., None]) -> Iterator[None]:
    """What the test does is counted once under 499, never under 500, and leaves no trace in the log."""
    before, bugs = count(strict, "499"), count(strict, "500")
    yield
    wait_until(lambda: count(strict, "499") == before + 1, seconds=PATIENCE, what="the request to be counted")
    assert count(strict, "500") == bugs
    log = strict.log.read_text()
    assert "Traceback" not in log
    assert "rror" not in log


def test_a_stalled_upload_takes_no_place_and_is_ended(strict: Any, film: Callable[..., bytes]) -> None:
    with ExitStack() as stack:
        stalled = [stack.enter_context(upload(strict, announced=1000, sent=10)) for _ in range(4)]
        status, document = infer(strict, film(1))  # the only place is free
        assert (status, "did not answer within" in document["error"]) == (503, True)
        for client in stalled:
            status, sentence, headers = answer_to(client)
            assert (status, headers["connection"]) == (408, "close")
            assert sentence.startswith("the request did not come within 1 s: send")
            assert client.recv(1) == b""


def test_bytes_in_flight_are_bounded_beside_the_number(strict: Any) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(upload(strict, announced=MIB, sent=MIB * 7 // 10)) for _ in range(2)]
        answers = sorted((answer_to(client) for client in clients), key=lambda answer: answer[0])
    assert [status for status, _, _ in answers] == [408, 503]
    _, sentence, headers = answers[1]
    assert headers["retry-after"] == "1"
    assert f"more than {MIB}. Try again" in sentence


def test_bytes_are_given_back() -> None:
    admission = Admission(max_requests=1, max_bytes=10)
    for _ in range(2):
        with admission.request() as held, admission.request() as other:
            held.add(6)
            other.expect(4)
            with pytest.raises(OverloadedError, match="more than 10"):
                other.expect(5)
            with pytest.raises(OverloadedError, match="more than 10"):
                other.add(5)
            other.add(4)


def test_bytes_over_grpc_are_counted_too(
    strict: Any, stub: GRPCInferenceServiceStub, wait_until: Callable[..., None]
) -> None:
    def refused() -> bool:
        with upload(strict, announced=MIB, sent=MIB * 7 // 10), pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(message(b"x" * (MIB // 2)), wait_for_ready=True)
        return caught.value.code() == grpc.StatusCode.UNAVAILABLE and "hold" in caught.value.details()

    wait_until(refused, seconds=PATIENCE, what="both to be there at once")


@pytest.mark.usefixtures("gone")
def test_a_client_that_leaves_while_it_sends_is_no_error_of_ours(strict: Any) -> None:
    upload(strict, announced=1000, sent=10).close()


@pytest.mark.usefixtures("gone")
def test_a_deadline_that_passes_is_no_error_of_ours(stub: GRPCInferenceServiceStub, film: Callable[..., bytes]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(message(film(1)), timeout=0.4)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.usefixtures("gone")
def test_a_call_that_is_cancelled_is_no_error_of_ours(
    strict: Any, stub: GRPCInferenceServiceStub, film: Callable[..., bytes], wait_until: Callable[..., None]
) -> None:
    call = stub.ModelInfer.future(message(film(1)))

    def has_the_place() -> bool:
        nonlocal call
        if call.done():  # the question below came first and had the only place
            call = stub.ModelInfer.future(message(film(1)))
        return str(infer(strict, film(2))[1].get("error")).startswith("1 requests")

    wait_until(has_the_place, seconds=2 * PATIENCE, what="the call")
    call.cancel()


def test_calls_whose_message_never_comes_are_bounded_and_ended(
    strict: Any, stub: GRPCInferenceServiceStub, film: Callable[..., bytes], wait_until: Callable[..., None]
) -> None:
    done = threading.Event()

    def never() -> Iterator[bytes]:
        done.wait(60)
        yield from ()

    def code() -> grpc.StatusCode:
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(message(film(1)), wait_for_ready=True)
        return caught.value.code()

    def calls() -> list[Any]:
        return [stalling.future(never()) for _ in range(max_calls(ServeConfig(max_in_flight=1)))]

    try:
        with grpc.insecure_channel(strict.grpc_url) as channel:
            stalling = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
            stalled = calls()

            def all_taken() -> bool:
                nonlocal stalled
                if any(call.done() for call in stalled):  # their connection was at its end already
                    stalled = calls()
                return code() == grpc.StatusCode.RESOURCE_EXHAUSTED

            wait_until(all_taken, seconds=PATIENCE, what="all calls taken")
            assert infer(strict, film(1))[0] == 503  # REST goes on
            wait_until(lambda: all(call.done() for call in stalled), seconds=PATIENCE, what="the connection's end")
            wait_until(lambda: code() == grpc.StatusCode.UNAVAILABLE, seconds=PATIENCE, what="a call to be taken")
    finally:
        done.set()


def memory_needed(config: ServeConfig, *, threads: int) -> int:
    """Bytes that a transformer may come to hold, at the most, for all that it may let in.

    Of each admitted request, itself and the images cut out of it; one body while it is put together and read; for every
    call of gRPC its message, as it comes and as the SDK has it (measured); and for each decoding thread the 7 bytes a
    pixel that Pillow takes for a colour PNG (measured: 428 MiB for 64 million pixels, more than any other kind).
    """
    requests = 2 * config.max_bytes_in_flight + 2 * config.max_request_bytes
    calls = 2 * max_calls(config) * config.max_grpc_message_bytes
    return requests + calls + threads * 7 * DecodeLimits().max_pixels


def test_the_pods_memory_is_enough_for_all_that_is_let_in_and_not_much_more() -> None:
    manifest = yaml.safe_load((ROOT / "kserve/services/standard/inferenceservice.yaml").read_text())
    (transformer,) = manifest["spec"]["predictor"]["containers"]
    limits = transformer["resources"]["limits"]
    assert limits["memory"].endswith("Gi")
    limit, idle = int(limits["memory"][:-2]) << 30, 256 * MIB
    needed = idle + memory_needed(ServeConfig(), threads=math.ceil(float(limits["cpu"])))
    assert needed < limit < needed + 1024 * MIB


def test_a_flood_takes_no_more_memory_than_the_limits_say(
    start: Callable[..., Any], stop: Callable[[Any], int], silent_predictor: str, film: Callable[..., bytes]
) -> None:
    limits = {"max_request_bytes": 24 * MIB, "max_bytes_in_flight": 32 * MIB, "max_grpc_message_bytes": 4 * MIB}
    limits |= {"max_in_flight": 32, "predictor_timeout_seconds": 1.0, "threads": 1}
    server = start(predictor=silent_predictor, **limits)
    try:
        infer(server, film(1))  # everything is loaded
        idle = psutil.Process(server.process.pid).memory_info().rss
        image = film(1) + bytes(MIB - 1000)  # what follows an image's end is not looked at
        with ThreadPoolExecutor(8) as pool, grpc.insecure_channel(server.grpc_url) as channel:
            answers = list(pool.map(lambda _: infer(server, *[image] * 20), range(8)))
            ask = GRPCInferenceServiceStub(channel).ModelInfer.future
            calls = [ask(message(*[image] * 3), wait_for_ready=True) for _ in range(40)]
            refusals = [call.exception() for call in calls]
        assert {status for status, _ in answers} == {503}
        sentences = [document["error"] for _, document in answers]
        for said in (sentences, [refusal.details() for refusal in refusals]):
            assert any("hold" in sentence for sentence in said)
            assert any("did not answer" in sentence for sentence in said)
        assert peak_bytes(server.process.pid) - idle < memory_needed(ServeConfig(**limits), threads=0)
    finally:
        stop(server)


def peak_bytes(pid: int) -> int:
    """The most memory that a process has ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10
