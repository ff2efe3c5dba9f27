"""REST or gRPC: every protocol asks for the same, what is counted was sent, and the page says what was found."""

from __future__ import annotations

import itertools
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import protocols, protocols_page
from benchmarks.calls import Call
from benchmarks.protocols import PROTOCOLS, Asked, Effort, Measured, Saturated, requests_of
from benchmarks.relay import Relay
from secondread.model.folder import ModelFolder

EFFORT = Effort(
    batches=(1, 4),
    rounds=1,
    seconds=0.1,
    saturating_batches=(1, 4),
    callers=2,
    saturating_rounds=1,
    saturating_seconds=0.5,
    call_rounds=1,
    call_block=5,
)


@pytest.fixture(scope="module")
def images(film: Callable[..., bytes]) -> list[bytes]:
    return [film(number, kind="JPEG") for number in range(4)]


@pytest.fixture(scope="module")
def measured(tiny_model: ModelFolder, images: list[bytes]) -> Measured:
    return protocols.measure(tiny_model, images, EFFORT)


def test_every_protocol_is_asked_with_every_number_of_images(measured: Measured) -> None:
    kinds = [(way.name, size) for way, size in itertools.product(PROTOCOLS, EFFORT.batches)]
    assert [(row.protocol, row.images) for row in measured.asked] == kinds
    assert [(row.protocol, row.images) for row in measured.saturated] == kinds
    assert all(row.seconds and row.cpu_seconds >= 0 for row in measured.asked)
    assert all(row.cpu_ms > 0 and row.n >= row.images for row in measured.saturated)


def test_json_sends_a_third_more_than_the_images_and_the_others_hardly_more(
    measured: Measured, images: list[bytes]
) -> None:
    size = sum(map(len, images)) / len(images)
    rows = {(row.protocol, row.images): row for row in measured.asked}
    for (protocol, count), row in rows.items():
        overhead = row.sent - (size * 4 / 3 if "JSON" in protocol else size)
        assert 0 < overhead < 400 / count + 60, (protocol, count)
        assert row.received > 100


def test_calls_that_ask_nothing_are_timed_over_both(measured: Measured) -> None:
    names = [call.name for call in measured.calls]
    assert sum("the transformer over" in name for name in names) == 2
    assert sum("is the model ready" in name for name in names) == 2
    assert all(0 < call.p50_ms <= call.p99_ms and call.n == 5 for call in measured.calls)


def test_each_image_is_in_a_request() -> None:
    assert requests_of([b"a", b"b", b"c"], 1) == [[b"a"], [b"b"], [b"c"]]
    assert requests_of([b"a", b"b", b"c"], 2) == [[b"a", b"b"], [b"c", b"a"]]
    assert requests_of([b"a", b"b"], 5) == [[b"a", b"b", b"a", b"b", b"a"]]


def test_the_page_reckons_costs_from_processor_time(tmp_path: Path) -> None:
    page = tmp_path / "protocols.md"
    asked = Asked("V2, gRPC", 4, 2048.0, 512.0, seconds=[0.010, 0.020, 0.030], cpu_seconds=0.024)
    found = Measured([asked], [Call("a call", 0.1, 0.25, 7)], [Saturated("V2, gRPC", 4, 3.6, 1234)])
    protocols_page.write(found, about="a machine; commit `c`", callers=8, page=page)
    text = page.read_text(encoding="utf-8")
    assert "Measured on a machine; commit `c`." in text
    assert "| V2, gRPC | 4 | 2.0 | 0.50 | 20.0 | 30.0 | 8.0 | 2.00 | 3 |" in text
    assert "| a call | 0.10 | 0.25 | 7 |" in text
    assert "| V2, gRPC | 4 | 3.60 | 1,000,000 | 1.00 | 1,234 |" in text
    assert "8 callers at the same time" in text
    assert "needs NVIDIA's image of Triton" in text


def test_the_page_in_the_docs_has_every_protocol_and_number_of_images() -> None:
    text = protocols_page.PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (V\d.*?) \| (\d+) \|", text, flags=re.MULTILINE)
    sizes = Effort().batches, Effort().saturating_batches
    assert rows == [(way.name, str(size)) for each in sizes for way, size in itertools.product(PROTOCOLS, each)]


@pytest.fixture
def parrot() -> Iterator[str]:
    """A server that answers each byte with two."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer() -> None:
            connection, _ = door.accept()
            with connection:
                while data := connection.recv(1024):
                    connection.sendall(2 * data)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{door.getsockname()[1]}"
        thread.join(timeout=10)
        assert not thread.is_alive(), "the connection was not closed"


def test_a_relay_counts_what_goes_both_ways(parrot: str) -> None:
    with Relay(parrot) as between:
        host, _, port = between.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(b"seven!!")
            answer = b""
            while len(answer) < 14:
                answer += client.recv(1024)
        assert answer == b"seven!!seven!!"
        assert (between.sent, between.received) == (7, 14)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)
