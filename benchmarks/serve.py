"""Serving: what a request costs above the bare work, and how many are answered beside FastAPI and beside MLServer.

The same fp32 graph everywhere, of the model that the benchmarks train.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from benchmarks.callers import GrpcCaller, Request, grpc_load, load, upload_request, v2_request
from benchmarks.measure import Measurement
from benchmarks.rates import P99_BELOW_MS, Compared, Effort, Send, beside, highest
from benchmarks.servers import MLSERVER_VERSION, MlServerSetting, Server, fastapi_server, mlserver, our_server
from benchmarks.trained import Trained
from benchmarks.workplace import Workplace
from secondread.config.loadtest import LoadTestConfig
from secondread.cpus import cpu_limit
from secondread.data.pixels.preprocess import preprocess
from secondread.logging import get_logger
from secondread.model.folder import FP32_GRAPH, ModelFolder
from secondread.model.session import INPUT, OUTPUTS
from secondread.serving.load.limit import find_limit
from secondread.serving.local.run_threads import threads_of_a_run

IMAGES = 48
BLOCKS, BLOCK = 60, 12  # of requests one after the other
ROUNDS, ROUND_SECONDS = 12, 2.0  # of load
ANSWER_BELOW_MS = 500.0  # the slowest; the seed's requirement
LIMIT_SECONDS = 10.0  # of each step of the search for the limit
BARE_BATCH = 8  # images that the bare work takes at once, and callers that a server is saturated with

MLSERVER_SETTINGS = [MlServerSetting(workers, batch) for workers in sorted({0, 1, cpu_limit()}) for batch in (0, 8)]

FASTAPI_THREADS = (0, 1)  # of a run: as the tutorials leave it, and one

log = get_logger(__name__)


def p50_over_bare(place: Workplace) -> Sequence[Measurement]:
    """Of the preset that is served at its fastest, and of the seed's network, whose graph takes many times as long."""
    return [
        _p50("serve.p50_over_bare", place, place.trained_served),
        _p50("serve.seed.p50_over_bare", place, place.trained_seed),
    ]


def _p50(key: str, place: Workplace, trained: Trained) -> Measurement:
    """Blocks of requests and of bare runs by turns, on the same images; the median over blocks of their p50s' ratio."""
    model, images = fp32(trained), place.films.encoded(IMAGES)
    bare = Bare(model, threads=run_threads(model))
    ratios, served_times, bare_times = [], [], []
    with tempfile.TemporaryDirectory() as work, our_server(model, Path(work)) as server:
        caller = GrpcCaller(server.grpc_address)
        for number in range(-2, BLOCKS):
            chosen = [(number * BLOCK + i) % len(images) for i in range(BLOCK)]
            served = statistics.median([caller.ask([images[i]]) for i in chosen])
            alone = statistics.median([bare.seconds([images[i]]) for i in chosen])
            if number >= 0:
                ratios.append(served / alone)
                served_times.append(served)
                bare_times.append(alone)
        caller.close()
    took = f"{1e3 * np.median(served_times):.2f} ms served, {1e3 * np.median(bare_times):.2f} ms bare"
    log.info("p50 of %s: %s", trained.recipe.name, took)
    peer = f"the same decoding and onnxruntime without a server ({took}); gRPC, one caller; {setting(place, trained)}"
    return Measurement(key, statistics.median(ratios), "x", peer, BLOCKS * BLOCK)


def cpu_over_bare(place: Workplace) -> Sequence[Measurement]:
    """Of the preset that is served at its fastest, and of the seed's network, whose graph takes many times as long."""
    return [
        _cpu("serve.cpu_per_request_over_bare", place, place.trained_served),
        _cpu("serve.seed.cpu_per_request_over_bare", place, place.trained_seed),
    ]


def _cpu(key: str, place: Workplace, trained: Trained) -> Measurement:
    """Processor time of all the server's processes an answer under load, over that of the bare work in batches."""
    model, images = fp32(trained), place.films.encoded(IMAGES)
    bare = Bare(model)
    ratios, served_times, bare_times, answers = [], [], [], 0
    with tempfile.TemporaryDirectory() as work, our_server(model, Path(work)) as server:
        for number in range(-1, ROUNDS):
            before = server.cpu_seconds()
            count = len(_grpc(server, images)(BARE_BATCH, ROUND_SECONDS).seconds)
            served = (server.cpu_seconds() - before) / count
            start = time.process_time()
            for first in range(0, len(images), BARE_BATCH):
                bare.seconds(images[first : first + BARE_BATCH])
            alone = (time.process_time() - start) / len(images)
            if number >= 0:
                ratios.append(served / alone)
                served_times.append(served)
                bare_times.append(alone)
                answers += count
    took = (
        f"{1e3 * np.median(served_times):.2f} ms served, {1e3 * np.median(bare_times):.2f} ms bare, its runs in "
        f"{cpu_limit()} threads"
    )
    log.info("processor time an image of %s: %s", trained.recipe.name, took)
    peer = (
        f"the same decoding and onnxruntime in batches of {BARE_BATCH} without a server ({took}); gRPC, {BARE_BATCH} "
        f"callers; {setting(place, trained)}"
    )
    return Measurement(key, statistics.median(ratios), "x", peer, answers)


def rate_vs_fastapi(place: Workplace) -> Sequence[Measurement]:
    """The highest rates of both, over HTTP as each has it; of FastAPI with the threads of a run that suit it."""
    model, images = fp32(place.trained_served), place.films.encoded(IMAGES)
    requests, uploads = [v2_request([image]) for image in images], [upload_request(image) for image in images]
    graph = model.graph_path()
    with tempfile.TemporaryDirectory() as folder:
        work, rates = Path(folder), {}
        for threads in FASTAPI_THREADS:
            with fastapi_server(graph, work, threads=threads) as theirs:
                rates[threads] = highest(_http(theirs, uploads), Effort(rounds=1)).rate
            log.info("FastAPI with threads %d: %.0f answers a second", threads, rates[threads])
        best = max(rates, key=lambda threads: rates[threads])
        with our_server(model, work) as ours, fastapi_server(graph, work, threads=best) as theirs:
            found = beside(_http(ours, requests), _http(theirs, uploads), Effort())
    peer = f"FastAPI, Pillow and onnxruntime, {'one thread a run' if best else 'threads as onnxruntime sets them'}"
    return [_rate("serve.rate_vs_fastapi", found, peer, "REST", place)]


def rate_vs_mlserver(place: Workplace) -> Sequence[Measurement]:
    """The highest rates of both over gRPC, which take the same requests; of MLServer in the setting that suits it."""
    model, images = fp32(place.trained_served), place.films.encoded(IMAGES)
    graph = model.graph_path()
    with tempfile.TemporaryDirectory() as folder:
        work, rates = Path(folder), {}
        for way in MLSERVER_SETTINGS:
            with mlserver(graph, work, way) as theirs:
                rates[way] = highest(_grpc(theirs, images), Effort(rounds=1)).rate
            log.info("MLServer with %s: %.0f answers a second", way, rates[way])
        best = max(rates, key=lambda way: rates[way])
        with our_server(model, work) as ours, mlserver(graph, work, best) as theirs:
            found = beside(_grpc(ours, images), _grpc(theirs, images), Effort())
    peer = f"MLServer {MLSERVER_VERSION}, Pillow and onnxruntime, the best of {len(rates)} settings: {best}"
    return [_rate("serve.rate_vs_mlserver", found, peer, "gRPC", place)]


def limit_rps(place: Workplace) -> Sequence[Measurement]:
    """What `secondread loadtest --find-limit` finds, callers and server on the same CPUs; no answer takes too long."""
    model = fp32(place.trained_served)
    config = LoadTestConfig(seconds=LIMIT_SECONDS)
    with tempfile.TemporaryDirectory() as work, our_server(model, Path(work)) as server:
        films = Path(work) / "films"
        films.mkdir()
        for number, image in enumerate(place.films.encoded(IMAGES)):
            (films / f"{number:02d}.jpg").write_bytes(image)
        config = replace(config, url=f"http://{server.address}", grpc_url=server.grpc_address)
        found = find_limit(config, images=films, report=Path(work) / "report.html")
    found.check(config)
    quick = [callers for callers in found.borne if (found.steps[callers].slowest_ms or math.inf) < ANSWER_BELOW_MS]
    callers = max(quick, key=lambda number: found.steps[number].rate_per_second)
    best = found.steps[callers]
    about = (
        f"none; P99 {best.p99_ms:.0f} ms, slowest {best.slowest_ms:.0f} ms, failures {best.failure_share:.2%}; REST "
        f"and gRPC by turns, {callers} callers on the same CPUs; {setting(place, place.trained_served)}"
    )
    return [Measurement("serve.limit_rps", best.rate_per_second, "requests/s", about, best.requests)]


class Bare:
    """The work that any server must do for an answer.

    Args:
        model: whose graph is run.
        threads: of a run; by default as many as there are CPUs, which is what onnxruntime does by itself.
    """

    def __init__(self, model: ModelFolder, *, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cpu_limit()
        options.add_session_config_entry("session.force_spinning_stop", "1")  # as served
        path = str(model.graph_path())
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._spec = model.config.preprocessing

    def seconds(self, images: Sequence[bytes]) -> float:
        """For these images, decoded one after the other and run as one batch."""
        start = time.perf_counter()
        self.run(self.pixels(images))
        return time.perf_counter() - start

    def pixels(self, images: Sequence[bytes]) -> npt.NDArray[np.uint8]:
        """Decoded: uint8 (images, 1, size, size)."""
        return np.stack([preprocess(image, self._spec) for image in images])[:, np.newaxis]

    def run(self, pixels: npt.NDArray[np.uint8]) -> None:
        """The graph."""
        self._session.run(list(OUTPUTS), {INPUT: pixels})


def _http(server: Server, requests: Sequence[Request]) -> Send:
    return lambda callers, seconds: load(server.address, requests, callers=callers, seconds=seconds)


def _grpc(server: Server, images: Sequence[bytes]) -> Send:
    requests = [[image] for image in images]
    return lambda callers, seconds: grpc_load(server.grpc_address, requests, callers=callers, seconds=seconds)


def _rate(key: str, found: Compared, peer: str, protocol: str, place: Workplace) -> Measurement:
    about = (
        f"{peer} (benchmarks/peers): {found.theirs}; ours {found.ours}; {protocol}, as many callers as give each its "
        f"highest rate with a P99 below {P99_BELOW_MS:g} ms; {setting(place, place.trained_served)}"
    )
    return Measurement(key, found.ratio, "x", about, found.requests)


def fp32(trained: Trained) -> ModelFolder:
    """The model with the graph that is measured."""
    model = trained.model
    return replace(model, config=replace(model.config, graph=FP32_GRAPH))


def setting(place: Workplace, trained: Trained) -> str:
    """On what is measured, in words."""
    return f"{place.films.name}; {trained.name}, fp32, {run_threads(fp32(trained))} thread(s) a run"


def run_threads(model: ModelFolder) -> int:
    """That our server gives a run of a model's graph here."""
    return _run_threads(model.graph_path())


@lru_cache
def _run_threads(graph: Path) -> int:
    return threads_of_a_run(graph, cpu_limit())
