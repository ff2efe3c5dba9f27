"""A Prometheus that says what a test wants it to say, over HTTP."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

END = 1_000_060.0
Vector = list[tuple[dict[str, str], str]]


class Answers:
    """What a Prometheus says, by the name of the metric that is asked for; and what it was asked."""

    def __init__(self) -> None:
        self.by_metric: dict[str, Vector] = {
            "in_flight": [({}, "1000055.5")],
            "requests_total": [({"code": "200"}, "97.5"), ({"code": "503"}, "2")],
            "request_seconds": [({"le": "0.3"}, "90"), ({"le": "+Inf"}, "99.5"), ({"le": "0.05"}, "60")],
            "predictions": [({"label": "cxr-normal"}, "70"), ({"label": "cxr-covid"}, "0")],
            "confidence": [({"le": "0.5"}, "10"), ({"le": "+Inf"}, "70")],
            "out_of_distribution": [({}, "3")],
            "drift": [({"statistic": "predictions_psi"}, "0.01"), ({"statistic": "embedding_p"}, "NaN")],
        }
        self.asked: list[tuple[str, str]] = []
        self.body: bytes | None = None  # in the place of all that
        self.status = 200
        self.url = ""

    def answer(self, query: str) -> bytes:
        if self.body is not None:
            return self.body
        (vector,) = [vector for name, vector in self.by_metric.items() if name in query]
        result = [{"metric": labels, "value": [END, value]} for labels, value in vector]
        return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


@pytest.fixture
def prometheus() -> Iterator[Answers]:
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = urllib.parse.parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            answers.asked.append((asked["query"][0], asked["time"][0]))
            self.send_response(answers.status)
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # it reads no further than it must
                self.wfile.write(answers.answer(asked["query"][0]))

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        answers.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield answers
        server.shutdown()


@pytest.fixture
def no_http() -> Iterator[str]:
    """The address of what speaks another protocol."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():  # the head; what follows is not read
                pass
            self.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
