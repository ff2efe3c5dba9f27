"""What any server of this kind must spend on a request, part by part, and how near ours comes to the sum.

The parts: decoding; a Triton that is asked for the decoded image; and gRPC in Python, which asks and answers and does
nothing else. A transformer in Python before a Triton cannot have less.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.callers import GrpcCaller, grpc_load
from benchmarks.measure import Measurement
from benchmarks.serve import BARE_BATCH, BLOCK, BLOCKS, IMAGES, ROUND_SECONDS, ROUNDS, Bare, fp32, run_threads, setting
from benchmarks.servers import Server, grpc_alone, our_server
from benchmarks.triton_settings import AS_SERVED, NAME, Setting, on_this_machine
from benchmarks.workplace import Workplace
from secondread.logging import get_logger
from secondread.model.folder import ModelFolder
from secondread.serving.transformer.predictor import Predictor

_TIMEOUT_SECONDS = 60.0
_SERVED, _BARE, _DECODING, _TRITON, _GRPC = "served", "bare", "decoding", "Triton", "gRPC"
_PARTS = (_DECODING, _TRITON, _GRPC)

log = get_logger(__name__)


def p50_over_parts(place: Workplace) -> Sequence[Measurement]:
    """Of one caller: blocks of requests and of each part by turns, on the same images; medians over blocks."""
    model, images = fp32(place.trained_served), place.films.encoded(IMAGES)
    bare = Bare(model, threads=run_threads(model))
    pixels = [bare.pixels([image]) for image in images]
    blocks: list[dict[str, float]] = []
    with _servers(model) as (ours, alone, triton):
        caller, echo = GrpcCaller(ours.grpc_address), GrpcCaller(alone.grpc_address)
        ways: dict[str, Callable[[int], object]] = {
            _SERVED: lambda each: caller.ask([images[each]]),
            _BARE: lambda each: bare.seconds([images[each]]),
            _DECODING: lambda each: bare.pixels([images[each]]),
            _TRITON: lambda each: triton.line.infer(pixels[each]),
            _GRPC: lambda each: echo.ask([images[each]]),
        }
        for number in range(-2, BLOCKS):
            chosen = [(number * BLOCK + i) % len(images) for i in range(BLOCK)]
            found = {name: statistics.median(_seconds(ask, each) for each in chosen) for name, ask in ways.items()}
            if number >= 0:
                blocks.append(found)
        caller.close()
        echo.close()
    about = f"gRPC, one caller; {setting(place, place.trained_served)}"
    return [_measurement("serve.p50_over_parts", blocks, about, BLOCKS * BLOCK)]


def cpu_over_parts(place: Workplace) -> Sequence[Measurement]:
    """Of several callers: processor time of all processes of a server, an answer; rounds of each part by turns."""
    model, images = fp32(place.trained_served), place.films.encoded(IMAGES)
    bare = Bare(model)
    pixels = [bare.pixels([image]) for image in images]
    requests = [[image] for image in images]
    rounds: list[dict[str, float]] = []
    answers = 0
    with _servers(model) as (ours, alone, triton):
        for number in range(-1, ROUNDS):
            found = {}
            for name, server in ((_SERVED, ours), (_GRPC, alone)):
                before = server.cpu_seconds()
                load = grpc_load(server.grpc_address, requests, callers=BARE_BATCH, seconds=ROUND_SECONDS)
                found[name] = (server.cpu_seconds() - before) / len(load.seconds)
                answers += len(load.seconds) if name == _SERVED and number >= 0 else 0
            asked = partial(_ask_triton, triton.line, pixels)
            found[_TRITON] = _processor_seconds(asked, triton.process)
            found[_DECODING] = _own_seconds(lambda: [bare.pixels([image]) for image in images]) / len(images)
            found[_BARE] = _own_seconds(lambda: _in_batches(bare, images)) / len(images)
            if number >= 0:
                rounds.append(found)
    about = f"gRPC, {BARE_BATCH} callers, the bare work in batches of as many; {setting(place, place.trained_served)}"
    return [_measurement("serve.cpu_per_request_over_parts", rounds, about, answers)]


@dataclass(frozen=True)
class _Triton:
    """A Triton with the model as it is served, with nothing before it.

    Attributes:
        line: to it.
        process: of it.
    """

    line: Predictor
    process: psutil.Process


@contextmanager
def _servers(model: ModelFolder) -> Iterator[tuple[Server, Server, _Triton]]:
    """Ours, gRPC that does nothing else, and a Triton."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with on_this_machine(model, work, Setting(1, run_threads(model), AS_SERVED)) as address:
            [process] = psutil.Process().children()
            line = Predictor(address, NAME, "1", timeout_seconds=_TIMEOUT_SECONDS)
            with our_server(model, work) as ours, grpc_alone(work) as alone:
                yield ours, alone, _Triton(line, process)
            line.close()


def _ask_triton(line: Predictor, pixels: Sequence[npt.NDArray[np.uint8]]) -> int:
    """From as many threads as there are callers, for as long as a round; gives the answers."""
    until, counts = time.perf_counter() + ROUND_SECONDS, [0] * BARE_BATCH

    def ask(number: int) -> None:
        while time.perf_counter() < until:
            line.infer(pixels[(number + counts[number]) % len(pixels)])
            counts[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(BARE_BATCH)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def _processor_seconds(asked: Callable[[], int], process: psutil.Process) -> float:
    """Of another process and of this one, which asks, an answer."""

    def spent() -> float:
        family = [process, *process.children(recursive=True)]
        return time.process_time() + sum(each.cpu_times().user + each.cpu_times().system for each in family)

    before = spent()
    count = asked()
    return (spent() - before) / count


def _own_seconds(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def _in_batches(bare: Bare, images: Sequence[bytes]) -> None:
    for first in range(0, len(images), BARE_BATCH):
        bare.seconds(images[first : first + BARE_BATCH])


def _seconds(ask: Callable[[int], object], each: int) -> float:
    start = time.perf_counter()
    ask(each)
    return time.perf_counter() - start


def _measurement(key: str, found: Sequence[dict[str, float]], about: str, n: int) -> Measurement:
    medians = {name: 1e3 * statistics.median(each[name] for each in found) for name in (_SERVED, _BARE, *_PARTS)}
    ratio = statistics.median(each[_SERVED] / sum(each[part] for part in _PARTS) for each in found)
    least = statistics.median(sum(each[part] for part in _PARTS) / each[_BARE] for each in found)
    parts = ", ".join(f"{part} {medians[part]:.2f} ms" for part in _PARTS)
    peer = (
        f"its parts, each asked by itself ({parts}; together {least:.2f}x the bare work's {medians[_BARE]:.2f} ms); "
        f"{medians[_SERVED]:.2f} ms served; {about}"
    )
    log.info("%s: %s", key, peer)
    return Measurement(key, ratio, "x", peer, n)
