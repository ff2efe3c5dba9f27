"""The line to Triton: what is sent a second time, on a fresh connection, and how often at most."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import numpy as np
import pytest

from secondread.errors import DependencyError, OverloadedError
from secondread.serving.transformer.admission import ClientGoneError
from secondread.serving.transformer.predictor import Predictor
from secondread.serving.transformer.retry_budget import MOST, SHARE, RetryBudget

PIXELS = np.zeros((1, 1, 8, 8), np.uint8)


def answer() -> bytes:
    """What Triton says, both outputs in binary."""
    outputs = [
        {"name": name, "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": 4 * shape[-1]}}
        for name, shape in (("probabilities", [1, 3]), ("ood_score", [1, 1]))
    ]
    head = json.dumps({"outputs": outputs}).encode()
    body = head + np.arange(4, dtype=np.float32).tobytes()
    lines = f"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: {len(head)}\r\nContent-Length: {len(body)}\r\n\r\n"
    return lines.encode() + body


class Flaky:
    """A server on whose connections so many requests are answered; the next one is read, and then closed upon.

    Attributes:
        answered: requests on each connection; the last one counts for all further ones.
        begin: what is sent before a connection is closed.
        read: requests that came, one number a connection.
    """

    def __init__(self) -> None:
        self.answered, self.begin, self.read = [1], b"", list[int]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Answer until it is closed."""
        with ThreadPoolExecutor(8) as pool:
            while True:
                try:
                    connection, _ = self._listener.accept()
                except OSError:
                    return
                number = len(self.read)
                self.read.append(0)
                pool.submit(self._answer, connection, number)

    def _answer(self, connection: socket.socket, number: int) -> None:
        with closing(connection):
            left = self.answered[min(number, len(self.answered) - 1)]
            while self._request(connection):
                self.read[number] += 1
                if not left:
                    connection.sendall(self.begin)
                    return
                left -= 1
                connection.sendall(answer())

    @staticmethod
    def _request(connection: socket.socket) -> bool:
        """Read one request to its end."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(1 << 16)
            if not part:
                return False
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"\r\ncontent-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(1 << 16)
        return True

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def triton() -> Iterator[Flaky]:
    server = Flaky()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.close()
    thread.join()


@pytest.fixture
def ask(triton: Flaky) -> Iterator[Callable[[], list[list[float]]]]:
    with closing(Predictor(triton.address, "secondread", "1", timeout_seconds=5)) as predictor:
        yield lambda: predictor.infer(PIXELS)["probabilities"].tolist()


SAID = [[0.0, 1.0, 2.0]]


def test_a_connection_that_was_closed_meanwhile_is_replaced(triton: Flaky, ask: Callable[[], object]) -> None:
    triton.answered = [1, 2]
    assert [ask(), ask(), ask()] == [SAID] * 3
    assert triton.read == [2, 2]


def test_it_is_asked_a_second_time_and_not_a_third(triton: Flaky, ask: Callable[[], object]) -> None:
    triton.answered = [1, 0]
    assert ask() == SAID
    with pytest.raises(DependencyError, match="does not answer for secondread version 1"):
        ask()
    assert triton.read == [2, 1]


def test_a_fresh_connection_that_fails_is_not_tried_again(triton: Flaky, ask: Callable[[], object]) -> None:
    triton.answered = [0]
    with pytest.raises(DependencyError):
        ask()
    assert triton.read == [1]


def test_an_answer_that_was_begun_is_not_asked_for_again(triton: Flaky, ask: Callable[[], object]) -> None:
    triton.begin = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
    assert ask() == SAID
    with pytest.raises(DependencyError):
        ask()
    assert triton.read == [2]


def test_in_an_outage_only_so_many_are_asked_again(triton: Flaky, ask: Callable[[], object]) -> None:
    """Every connection answers once and is closed upon with the next request, so that each answer needs a retry."""
    asked, failed = 40, []
    for number in range(asked):
        try:
            ask()
        except DependencyError:
            failed.append(number)
    assert failed[0] == MOST + 1
    assert len(failed) > (asked - MOST) / 3
    assert sum(triton.read) <= asked + MOST + SHARE * asked


def test_the_budget_is_earned_by_answers_and_has_an_end() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.earn()
    assert sum(budget.take() for _ in range(100)) == MOST
    for _ in range(round(1 / SHARE) - 1):
        budget.earn()
    assert not budget.take()
    budget.earn()
    budget.earn()
    assert budget.take()
    assert not budget.take()


def test_what_is_not_answered_in_time_is_not_asked_again(silent_predictor: str) -> None:
    predictor = Predictor(silent_predictor, "secondread", "1", timeout_seconds=0.05)
    with pytest.raises(OverloadedError, match="did not answer within"):
        predictor.infer(PIXELS)


def test_a_connection_that_is_not_taken_is_not_the_clients_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondread.serving.transformer.predictor._CONNECT_SECONDS", 0.05)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # the queue of those that wait to be taken is full
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        predictor = Predictor(f"127.0.0.1:{listener.getsockname()[1]}", "secondread", "1", timeout_seconds=60)
        with pytest.raises(DependencyError, match="does not answer for secondread version 1"):
            predictor.infer(PIXELS, seconds=30)


def test_the_clients_deadline_is_told_as_that(silent_predictor: str) -> None:
    predictor = Predictor(silent_predictor, "secondread", "1", timeout_seconds=60)
    with pytest.raises(ClientGoneError, match="deadline passed"):
        predictor.infer(PIXELS, seconds=0.05)
