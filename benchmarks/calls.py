"""What a call costs before any work is done, over HTTP and over gRPC, of the transformer and of Triton alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np

from benchmarks.callers import Caller, Request
from benchmarks.serve import Bare
from benchmarks.servers import Server
from secondread.model.folder import ModelFolder
from secondread.serving.local.triton import LocalTriton
from secondread.serving.transformer.predictor import Predictor

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Call:
    """How long a call takes.

    Attributes:
        name: in words.
        p50_ms, p99_ms: milliseconds.
        n: how many were measured.
    """

    name: str
    p50_ms: float
    p99_ms: float
    n: int


def calls(
    server: Server, model: ModelFolder, repository: Path, image: bytes, *, home: Path, rounds: int, block: int
) -> list[Call]:
    """Measure each by turns, one after the other, from one thread.

    Args:
        server: ours, with nothing else to do.
        model: that it serves.
        repository: the same model as Triton has it; another Triton is started on it.
        image: encoded.
        home: folder for that Triton's log.
        rounds: how often.
        block: calls of each in a round.
    """
    with contextlib.ExitStack() as stack:
        ways = _ways(stack, server, model, repository, image, home)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(-1, rounds):
            for name, call in ways.items():
                found = [_timed(call) for _ in range(block)]
                if number >= 0:
                    seconds[name] += found
    return [_call(name, found) for name, found in seconds.items()]


def _ways(
    stack: contextlib.ExitStack, server: Server, model: ModelFolder, repository: Path, image: bytes, home: Path
) -> Mapping[str, Callable[[], object]]:
    # as in callers.py: never with tritonclient's messages in one process
    from secondread.serving.transformer.sdk import GRPCInferenceServiceStub, messages

    triton = stack.enter_context(LocalTriton(repository, home=home))
    predictor = Predictor(triton.http_address, "secondread", "1", timeout_seconds=_TIMEOUT_SECONDS)
    stack.callback(predictor.close)
    client = Caller(server.address)
    stack.callback(client.close)
    ours, theirs = (
        GRPCInferenceServiceStub(stack.enter_context(grpc.insecure_channel(address)))
        for address in (server.grpc_address, triton.grpc_address)
    )
    alive, live = Request("/v2/health/live", {}, b"", method="GET"), messages.ServerLiveRequest()
    ready = messages.ModelReadyRequest(name="secondread", version="1")
    bare = Bare(model)
    pixels = bare.pixels([image])
    return {
        "the transformer over REST: is it alive": lambda: client.ask(alive),
        "the transformer over gRPC: is it alive": lambda: ours.ServerLive(live),
        "Triton over HTTP, as the transformer asks it: is the model ready": predictor.ready,
        "Triton over gRPC: is the model ready": lambda: theirs.ModelReady(ready),
        "Triton over HTTP, as the transformer asks it: an image's pixels read": lambda: predictor.infer(pixels),
        "onnxruntime without a server: an image's pixels read": lambda: bare.run(pixels),
        "libjpeg-turbo without a server: an image decoded": lambda: bare.pixels([image]),
    }


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _call(name: str, seconds: Sequence[float]) -> Call:
    p50, p99 = 1e3 * np.percentile(seconds, [50, 99], method="inverted_cdf")
    return Call(name, float(p50), float(p99), len(seconds))
