"""The transformer: a KServe model that turns image bytes into pixels, asks Triton, and puts the answer into words.

One thread takes a request from its bytes to its answer: handing it on to the next costs more than decoding a film.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from secondread.config.serve import ServeConfig
from secondread.cpus import cpu_limit
from secondread.data.pixels.decode import DecodeLimits
from secondread.data.pixels.preprocess import preprocess
from secondread.errors import InputError, SecondReadError, TooLargeError
from secondread.export.repository import MAX_EXPLAINED, RepositoryModel
from secondread.model.session import SALIENCY
from secondread.serving import contract
from secondread.serving.admission import Admission, ClientGoneError, HeldBytes
from secondread.serving.contract import Answer, Request, UnknownModelError
from secondread.serving.interpret import interpret
from secondread.serving.metrics import Measures, watch_queue
from secondread.serving.predictor import Predictor
from secondread.serving.remote import RemoteImages
from secondread.serving.sdk import Model

Pixels = npt.NDArray[np.uint8]
R = TypeVar("R", bound=Request)

_BUG = 500
_FETCHERS = 8  # images that are fetched at the same time, of all requests


@dataclass(frozen=True)
class Served:
    """A model that is answered for.

    Attributes:
        model: from its `config.json`.
        predictor: the line to it.
        measures: of its requests.
        max_images: of one request.
    """

    model: RepositoryModel
    predictor: Predictor
    measures: Measures
    max_images: int


class Transformer(Model):  # type: ignore[misc]
    """One version of a model, and of the one that explains it, behind one Triton.

    Args:
        models: with the line to each; the first is the one that readiness speaks of.
        config: limits and threads.
    Attributes:
        models: by name.
    """

    def __init__(self, models: Sequence[tuple[RepositoryModel, Predictor]], config: ServeConfig) -> None:
        super().__init__(config.name)
        self.models = {
            model.name: Served(
                model,
                predictor,
                Measures(model.name, model.version, model.config.taxonomy.names),
                MAX_EXPLAINED if contract.explains(model) else contract.MAX_IMAGES,
            )
            for model, predictor in models
        }
        self._first = self.models[config.name]
        self._admission = Admission(max_requests=config.max_in_flight, max_bytes=config.max_bytes_in_flight)
        self._limits = DecodeLimits(max_bytes=config.max_request_bytes)
        # Decoding lets go of the interpreter lock, so threads help, but not more of them than CPUs: each may hold a
        # film of the largest size.
        threads = config.threads or cpu_limit()
        self._decoding = threading.BoundedSemaphore(threads)
        self._decoders = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._remote = RemoteImages(config)
        self._fetchers = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch")
        self._workers = ThreadPoolExecutor(config.max_in_flight, thread_name_prefix="request")
        watch_queue(self._admission, config.name, self._first.model.version)
        self.ready = True

    def find(self, name: str, version: str | None) -> Served:
        """The model that a request is for.

        Raises:
            UnknownModelError: there is no such model, or no such version of it, here.
        """
        served = self.models.get(name)
        if served is None or version not in (None, "", served.model.version):
            asked = f"{name} version {version}" if version else name
            there = ", ".join(f"{each} version {found.model.version}" for each, found in self.models.items())
            raise UnknownModelError(f"model {asked[:100]} does not exist here: ask for {there}.")
        return served

    def get_input_types(self) -> list[dict[str, Any]]:
        """The input, for V2's metadata."""
        return contract.INPUT_TYPES

    def get_output_types(self) -> list[dict[str, Any]]:
        """The outputs, for V2's metadata."""
        return contract.output_types(self._first.model)

    def is_ready(self) -> bool:
        """Whether an image that came now would be answered: Triton is up and has this version."""
        return bool(self.ready) and self._first.predictor.ready()

    async def healthy(self) -> bool:
        """The same, as the SDK asks."""
        return await asyncio.get_running_loop().run_in_executor(None, self.is_ready)

    async def answer(
        self, name: str, version: str, read: Callable[[HeldBytes], Awaitable[bytes]], parse: Callable[[bytes], R]
    ) -> tuple[R, Answer]:
        """Answer one request whose bytes are still to come.

        Args:
            name: of the model asked.
            version: of it; empty for the one that is served.
            read: gives its bytes, and accounts for them as they come; called only while there is a free place.
            parse: makes the request of them.
        Returns:
            The request, and what is said of its images.
        Raises:
            OverloadedError: too many requests, or too many bytes, are in flight.
            UnknownModelError: another model or version is asked for.
            SecondReadError: whatever is wrong with the request, or with Triton.
        """
        with self._admitted(name, version) as (served, held):
            body = await read(held)

            def work() -> tuple[R, Answer]:
                request = parse(body)
                return request, self._infer(served(), request, held, None)

            with self._admission.place():
                return await asyncio.get_running_loop().run_in_executor(self._workers, work)

    def answer_now(
        self,
        name: str,
        version: str,
        parse: Callable[[HeldBytes], R],
        *,
        seconds: float | None = None,
        is_there: Callable[[], bool] = lambda: True,
    ) -> tuple[R, Answer]:
        """Answer one request whose bytes are there, in this thread.

        Args:
            name: of the model asked.
            version: of it; empty for the one that is served.
            parse: makes the request, and accounts for its bytes.
            seconds: that whoever asks will wait; None: as long as it takes.
            is_there: whether whoever asked still waits.
        Returns:
            The request, and what is said of its images.
        Raises:
            As `answer`, and ClientGoneError where nobody waits any more.
        """
        with self._admitted(name, version) as (served, held):
            request = parse(held)
            try:
                with self._admission.place():
                    return request, self._infer(served(), request, held, seconds)
            finally:
                if not is_there():
                    raise ClientGoneError("the client went away while it was answered.")

    @contextmanager
    def _admitted(self, name: str, version: str) -> Iterator[tuple[Callable[[], Served], HeldBytes]]:
        """The only place that admits, times and counts requests; those for other models are the first one's.

        Gives a function for the model, since whoever may not ask is told nothing about models.
        """
        started, code = time.perf_counter(), _BUG
        try:
            with self._admission.request() as held:
                self._admission.check_place()
                yield partial(self.find, name, version), held
            code = 200
        except SecondReadError as error:
            code = error.http_status
            raise
        except asyncio.CancelledError:
            code = ClientGoneError.http_status
            raise
        finally:
            self.models.get(name, self._first).measures.request(code, time.perf_counter() - started)

    def _infer(self, served: Served, request: Request, held: HeldBytes, seconds: float | None) -> Answer:
        started, model = time.perf_counter(), served.model
        wanted = contract.wanted_outputs(request.outputs, model)
        if (count := len(request.urls or request.images)) > served.max_images:
            raise TooLargeError(f"{count} images are more than the {served.max_images} of one request to {model.name}.")
        images = self._fetched(served, request.urls, held) if request.urls else request.images
        with served.measures.stage("decode"):
            pixels = self._pixels(model, images)
        with served.measures.stage("predict"):
            left = None if seconds is None else max(0.0, seconds - (time.perf_counter() - started))
            figures = served.predictor.infer(pixels, seconds=left)
        reading = interpret(figures["probabilities"], figures["ood_score"].ravel(), model.config)
        served.measures.reading(reading)
        explanation: dict[str, contract.Tensor] = {}
        if SALIENCY in figures:
            explanation = {SALIENCY: figures[SALIENCY], contract.PIXELS: pixels[:, 0]}
        return contract.answer(images, reading, model, wanted=wanted, explanation=explanation)

    def _fetched(self, served: Served, urls: Sequence[str], held: HeldBytes) -> list[bytes]:
        """Images by their addresses."""
        if not self._remote.allowed:
            raise InputError(f"input '{contract.URL}' is off here (serve.url_hosts): send '{contract.INPUT}' instead.")
        with served.measures.stage("fetch"):
            tasks = [self._fetchers.submit(self._remote.fetch, i, url, held.add) for i, url in enumerate(urls)]
            try:
                return [task.result() for task in tasks]
            finally:
                for task in tasks:
                    task.cancel()

    def _pixels(self, model: RepositoryModel, images: Sequence[bytes]) -> Pixels:
        """Decode all images of a request.

        Returns:
            uint8 (images, 1, size, size).
        Raises:
            ImageError, TooLargeError: of the first bad image, naming its index.
        """
        if len(images) == 1:
            return self._one(model, 0, images[0])[np.newaxis, np.newaxis]
        tasks = [self._decoders.submit(self._one, model, index, data) for index, data in enumerate(images)]
        try:
            return np.stack([task.result() for task in tasks])[:, np.newaxis]
        finally:
            for task in tasks:
                task.cancel()

    def _one(self, model: RepositoryModel, index: int, data: bytes) -> Pixels:
        try:
            with self._decoding:
                return preprocess(data, model.config.preprocessing, limits=self._limits)
        except InputError as error:
            raise type(error)(f"image {index}: {error}") from error

    def close(self) -> None:
        """Let go of the threads and of the channel to Triton."""
        self.ready = False
        for pool in (self._workers, self._fetchers, self._decoders):
            pool.shutdown(wait=False, cancel_futures=True)
        for served in self.models.values():
            served.predictor.close()
