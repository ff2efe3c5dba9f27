"""Connections that send no request, half a head, or one without an end are told so and closed; nobody else waits.

So are those that do not take their answers.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from typing import Any

import psutil
import pytest

PATIENCE = 15.0  # seconds that a test waits for what takes one


def connect(server: Any) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


def refusal(client: socket.socket) -> tuple[int, str]:
    """Status and sentence of an answer, after which the connection is closed."""
    response = http.client.HTTPResponse(client)
    response.begin()
    status, sentence = response.status, json.load(response)["error"]
    assert response.headers["connection"] == "close"
    assert client.recv(1) == b""
    return status, sentence


@pytest.mark.parametrize("sent", [b"", b"GET /v2/health/live HTTP/1.1\r\nHost: test\r\nX-Slow: "])
def test_a_head_that_does_not_come_is_ended(strict: Any, sent: bytes) -> None:
    with ExitStack() as stack:
        stalled = [stack.enter_context(closing(connect(strict))) for _ in range(20)]
        for client in stalled:
            client.sendall(sent)
        assert live(strict) == 200
        assert {refusal(client) for client in stalled} == {(408, "the request's head did not come within 1 s.")}


def test_the_second_head_of_a_connection_is_waited_for_no_longer(strict: Any) -> None:
    with closing(connect(strict)) as client:
        client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: test\r\n\r\n")
        response = http.client.HTTPResponse(client)
        response.begin()
        assert json.load(response) == {"live": True}
        client.sendall(b"GET /v2")
        assert refusal(client)[0] == 408


def test_a_head_without_an_end_is_refused(strict: Any, wait_until: Callable[..., None]) -> None:
    with closing(connect(strict)) as client:
        client.sendall(b"GET /v2 HTTP/1.1\r\n" + b"X-Long: " + b"x" * (70 << 10))
        status, sentence = refusal(client)
    assert status == 431
    assert "more than 65536 bytes" in sentence
    wait_until(lambda: "no request: 431" in strict.log.read_text(), seconds=5, what="a line in the log")


CHUNKED = b" /v2/health/live HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("trailers", [b"a:b\r\n" * (1 << 20), b"a:" + b"b" * (6 << 20)], ids=["many", "long"])
def test_headers_behind_a_body_have_an_end(strict: Any, trailers: bytes) -> None:
    """Who asks how the server is needs no token, and uvicorn would keep them all."""
    with closing(connect(strict)) as client:
        client.sendall(b"GET" + CHUNKED + b"0\r\n")
        response = http.client.HTTPResponse(client)
        response.begin()
        assert json.load(response) == {"live": True}
        with suppress(ConnectionError):  # it may be closed while they are sent
            client.sendall(trailers)
            while client.recv(1 << 16):
                pass
    assert live(strict) == 200


def test_a_few_headers_behind_a_body_are_no_part_of_the_request(strict: Any) -> None:
    with closing(connect(strict)) as client:
        for _ in range(2):  # the connection goes on
            client.sendall(b"GET" + CHUNKED + b"3\r\nabc\r\n0\r\nExpect: 100-continue\r\nDigest: 1\r\n\r\n")
            response = http.client.HTTPResponse(client)
            response.begin()
            assert json.load(response) == {"live": True}


def test_a_body_whose_parts_come_with_the_length_of_the_next_is_no_head(strict: Any) -> None:
    part = b"%x\r\n" % (50 << 10)
    with closing(connect(strict)) as client:
        client.sendall(b"POST" + CHUNKED.replace(b"health/live", b"models/secondread/infer") + part)
        for _ in range(4):
            client.sendall(b" " * (50 << 10) + b"\r\n" + part)
        client.sendall(b" " * (50 << 10) + b"\r\n0\r\n\r\n")
        response = http.client.HTTPResponse(client)
        response.begin()
        assert (response.status, "no JSON" in json.load(response)["error"]) == (400, True)


def test_what_is_refused_behind_a_request_is_no_bug(strict: Any) -> None:
    """The answer to the request itself must not be written behind the refusal."""
    with closing(connect(strict)) as client:
        client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: test\r\n\r\nno HTTP\r\n\r\n")
        assert refusal(client)[0] == 400
    assert live(strict) == 200
    assert "Exception in ASGI application" not in strict.log.read_text()


def test_what_is_no_http_is_told_so_in_json(strict: Any) -> None:
    with closing(connect(strict)) as client:
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert refusal(client) == (400, "this is no HTTP/1.1 request: see GET /v2 for what is served here.")


def test_a_body_that_comes_with_its_head_is_no_part_of_it(strict: Any) -> None:
    with closing(connect(strict)) as client:
        body = b" " * (100 << 10)
        head = f"POST /v2/models/secondread/infer HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        response = http.client.HTTPResponse(client)
        response.begin()
        assert (response.status, "no JSON" in json.load(response)["error"]) == (400, True)


def test_answers_that_nobody_takes_are_dropped(strict: Any, wait_until: Callable[..., None]) -> None:
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: test\r\n\r\n" * 200
    host, _, port = strict.url.removeprefix("http://").partition(":")

    def is_connected() -> bool:
        connections = psutil.Process(strict.process.pid).connections()
        return own in {each.raddr.port for each in connections if each.raddr}

    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        own = client.getsockname()[1]
        client.sendall(asked)
        assert client.recv(1) == b"H"  # of the first
        assert is_connected()
        wait_until(lambda: not is_connected(), seconds=PATIENCE, what="the connection's end")
    assert "an answer was not taken within 1 s" in strict.log.read_text()
    assert live(strict) == 200


def live(server: Any) -> int:
    with closing(http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE)) as connection:
        connection.request("GET", "/v2/health/live")
        return connection.getresponse().status
