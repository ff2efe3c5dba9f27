"""Under load: when Triton is killed, whoever asks is told to come back, never something wrong, and soon answered."""

from __future__ import annotations

import http.client
import json
import struct
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import psutil

from secondread.model.session import Outputs
from secondread.serving.sdk import GRPCInferenceServiceStub, messages

BACK_SECONDS = 10.0  # promised
CALLERS = 2  # over each of the two protocols


@dataclass(frozen=True)
class Answered:
    """When a request ended, and with what: an HTTP status or gRPC's code, when to come back, and the probabilities."""

    at: float
    status: str
    retry_after: str
    probabilities: Any = None


class Load:
    """Callers who ask for one film each, again and again, over REST and over gRPC."""

    def __init__(self, server: Any, film: bytes) -> None:
        self._server, self._packed = server, struct.pack("<I", len(film)) + film
        self._stop = threading.Event()
        self.answers: list[Answered] = []
        self._threads = [threading.Thread(target=call) for call in (self._rest, self._grpc) for _ in range(CALLERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def answered_since(self, moment: float) -> float | None:
        """When each kind of caller has had an answer that was sent after a moment, and not before."""
        good = {
            each.status: each.at for each in list(self.answers) if each.at > moment and each.status in ("200", "OK")
        }
        return max(good.values()) if len(good) == 2 else None

    def _rest(self) -> None:
        tensor = {"name": "image", "datatype": "BYTES", "shape": [1]}
        head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(self._packed)}}]}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        with closing(http.client.HTTPConnection(self._server.url.removeprefix("http://"), timeout=30)) as connection:
            while not self._stop.is_set():
                connection.request("POST", "/v2/models/secondread/infer", head + self._packed, headers)
                answer = connection.getresponse()
                document = json.loads(answer.read())
                outputs = {each["name"]: each["data"] for each in document.get("outputs", [])}
                self._note(str(answer.status), answer.headers["retry-after"] or "", outputs.get("probabilities"))

    def _grpc(self) -> None:
        request = messages.ModelInferRequest(
            model_name="secondread",
            inputs=[{"name": "image", "datatype": "BYTES", "shape": [1]}],
            outputs=[{"name": "probabilities"}],
            raw_input_contents=[self._packed],
        )
        with grpc.insecure_channel(self._server.grpc_url, options=[("grpc.enable_retries", 0)]) as channel:
            ask = GRPCInferenceServiceStub(channel).ModelInfer
            while not self._stop.is_set():
                call = ask.future(request, timeout=30)
                if call.exception() is None:
                    self._note("OK", "", np.frombuffer(call.result().raw_output_contents[0], np.float32))
                else:
                    self._note(call.code().name, dict(call.trailing_metadata()).get("retry-after", ""), None)

    def _note(self, status: str, retry_after: str, probabilities: Any) -> None:
        self.answers.append(Answered(time.monotonic(), status, retry_after, probabilities))


def test_triton_is_killed_under_load(
    start: Callable[..., Any],
    stop: Callable[[Any], int],
    film: Callable[..., bytes],
    expected: Callable[..., Outputs],
    wait_until: Callable[..., None],
) -> None:
    server = start()
    try:
        with Load(server, film(1)) as load:
            for _ in range(2):
                begun = time.monotonic()
                wait_until(lambda: load.answered_since(begun), seconds=30, what="answers")  # noqa: B023
                (triton,) = psutil.Process(server.process.pid).children()
                assert triton.name() == "tritonserver"
                killed = time.monotonic()
                triton.kill()
                triton.wait(10)
                wait_until(lambda: load.answered_since(time.monotonic() - 0.2), seconds=60, what="answers again")
                assert time.monotonic() - killed < BACK_SECONDS
    finally:
        assert stop(server) == 0
    statuses = {each.status for each in load.answers}
    assert statuses == {"200", "OK", "503", "UNAVAILABLE"}
    bare = expected(film(1)).probabilities[0]
    for each in load.answers:
        if each.probabilities is not None:
            np.testing.assert_allclose(each.probabilities, bare, atol=1e-6)
        else:
            assert int(each.retry_after) > 0, each
    assert "Traceback" not in server.log.read_text()


def test_a_transformer_that_is_killed_takes_its_triton_with_it(
    start: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    """Nothing is left that would hold the memory, or answer for a model that nobody watches."""
    server = start()
    (triton,) = psutil.Process(server.process.pid).children()
    server.process.kill()
    server.process.wait()
    wait_until(lambda: not triton.is_running() or triton.status() == psutil.STATUS_ZOMBIE, seconds=20, what="its end")
