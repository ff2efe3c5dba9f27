"""Callers who ask a server for one film each, again and again, over REST and over gRPC, and note what comes."""

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

from secondread.serving.transformer.sdk import GRPCInferenceServiceStub, messages

CUT = "cut"  # status of a request over REST whose connection was refused, reset or closed
_PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.05  # after a connection that was cut, so that callers do not only knock


@dataclass(frozen=True)
class Answered:
    """When a request ended, and with what.

    Attributes:
        at: on the monotonic clock.
        seconds: that it took.
        status: of HTTP or gRPC, or CUT.
        retry_after: when to come back, where it says so.
        version, digest: of the model that answered.
        label: of the film.
        probabilities: of the film.
    """

    at: float
    seconds: float
    status: str
    retry_after: str = ""
    version: str = ""
    digest: str = ""
    label: str = ""
    probabilities: Any = None

    @property
    def good(self) -> bool:
        """Whether it is an answer to the question."""
        return self.status in ("200", "OK")


class Load:
    """Callers of a server, inside the block.

    Args:
        server: where it listens: `url` and `grpc_url`.
        film: encoded.
        callers: of each of the two protocols.
        pause_seconds: of each caller between an answer and the next request.
    Attributes:
        answers: all of them so far, in the order in which they came.
        broken: what ended a caller; nothing should.
    """

    def __init__(self, server: Any, film: bytes, *, callers: int = 2, pause_seconds: float = 0.0) -> None:
        self._server, self._packed, self._pause_seconds = server, struct.pack("<I", len(film)) + film, pause_seconds
        self._stop = threading.Event()
        self.answers: list[Answered] = []
        self.broken: list[BaseException] = []
        kinds = (self._rest, self._grpc)
        self._threads = [threading.Thread(target=self._call, args=(kind,)) for kind in kinds for _ in range(callers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def answered_since(self, moment: float, *, version: str = "") -> bool:
        """Whether callers of both protocols have had an answer after a moment, of that version if one is named."""
        found = {
            each.status
            for each in list(self.answers)
            if each.good and each.at > moment and version in ("", each.version)
        }
        return len(found) == 2

    def _call(self, kind: Callable[[], None]) -> None:
        try:
            kind()
        except BaseException as error:
            self.broken.append(error)
            raise

    def _rest(self) -> None:
        tensor = {"name": "image", "datatype": "BYTES", "shape": [1]}
        head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(self._packed)}}]}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        address = self._server.url.removeprefix("http://")
        with closing(http.client.HTTPConnection(address, timeout=_PATIENCE_SECONDS)) as connection:
            while not self._stop.wait(self._pause_seconds):
                started = time.monotonic()
                try:
                    connection.request("POST", "/v2/models/secondread/infer", head + self._packed, headers)
                    answer = connection.getresponse()
                    document = json.loads(answer.read())
                except (ConnectionError, http.client.IncompleteRead):
                    connection.close()
                    self._note(started, CUT)
                    self._stop.wait(_PAUSE_SECONDS)
                    continue
                outputs = {each["name"]: each["data"] for each in document.get("outputs", [])}
                self._note(
                    started,
                    str(answer.status),
                    retry_after=answer.headers["retry-after"] or "",
                    version=document.get("model_version", ""),
                    digest=document.get("parameters", {}).get("digest", ""),
                    label=outputs.get("label", [""])[0],
                    probabilities=outputs.get("probabilities"),
                )

    def _grpc(self) -> None:
        request = messages.ModelInferRequest(
            model_name="secondread",
            inputs=[{"name": "image", "datatype": "BYTES", "shape": [1]}],
            outputs=[{"name": "probabilities"}, {"name": "label"}],
            raw_input_contents=[self._packed],
        )
        # a server that comes back is found at once
        options = [("grpc.enable_retries", 0), ("grpc.max_reconnect_backoff_ms", 100)]
        with grpc.insecure_channel(self._server.grpc_url, options=options) as channel:
            ask = GRPCInferenceServiceStub(channel).ModelInfer
            while not self._stop.wait(self._pause_seconds):
                started = time.monotonic()
                call = ask.future(request, timeout=_PATIENCE_SECONDS)
                if call.exception() is not None:
                    self._note(
                        started,
                        call.code().name,
                        retry_after=dict(call.trailing_metadata() or ()).get("retry-after", ""),
                    )
                    continue
                response = call.result()
                probabilities, label = response.raw_output_contents
                self._note(
                    started,
                    "OK",
                    version=response.model_version,
                    digest=response.parameters["digest"].string_param,
                    label=label[4:].decode(),
                    probabilities=np.frombuffer(probabilities, np.float32),
                )

    def _note(self, started: float, status: str, **said: Any) -> None:
        now = time.monotonic()
        self.answers.append(Answered(now, now - started, status, **said))
