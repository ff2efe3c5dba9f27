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
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from secondread.config.serve import ServeConfig
from secondread.cpus import cpu_limit
from secondread.data.pixels.decode import DecodeLimits
from secondread.data.pixels.preprocess import preprocess
from secondread.errors import InputError, SecondReadError
from secondread.export.repository import RepositoryModel
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


class Transformer(Model):  # type: ignore[misc]
    """One version of a model, behind one Triton.

    Args:
        model: what is served, from its `config.json`.
        predictor: the line to Triton.
        config: limits and threads.
    """

    def __init__(self, model: RepositoryModel, predictor: Predictor, config: ServeConfig) -> None:
        super().__init__(config.name)
        self.model = model
        self._predictor = predictor
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
        self._measures = Measures(config.name, model.version, model.config.taxonomy.names)
        watch_queue(self._admission, config.name, model.version)
        self.ready = True

    def check(self, name: str, version: str | None) -> None:
        """Refuse a request for another model, or for another version of this one.

        Raises:
            UnknownModelError: there is no such model here.
        """
        if name != self.name or version not in (None, "", self.model.version):
            asked = f"{name} version {version}" if version else name
            raise UnknownModelError(
                f"model {asked} does not exist here: {self.name} version {self.model.version} is what is served."
            )

    def get_input_types(self) -> list[dict[str, Any]]:
        """The input, for V2's metadata."""
        return contract.INPUT_TYPES

    def get_output_types(self) -> list[dict[str, Any]]:
        """The outputs, for V2's metadata."""
        return contract.output_types(self.model)

    def is_ready(self) -> bool:
        """Whether an image that came now would be answered: Triton is up and has this version."""
        return bool(self.ready) and self._predictor.ready()

    async def healthy(self) -> bool:
        """The same, as the SDK asks."""
        return await asyncio.get_running_loop().run_in_executor(None, self.is_ready)

    async def answer(
        self, read: Callable[[HeldBytes], Awaitable[bytes]], parse: Callable[[bytes], R]
    ) -> tuple[R, Answer]:
        """Answer one request whose bytes are still to come.

        Args:
            read: gives its bytes, and accounts for them as they come; called only while there is a free place.
            parse: makes the request of them.
        Returns:
            The request, and what is said of its images.
        Raises:
            OverloadedError: too many requests, or too many bytes, are in flight.
            UnknownModelError: another model or version is asked for.
            SecondReadError: whatever is wrong with the request, or with Triton.
        """
        with self._admitted() as held:
            body = await read(held)
            with self._admission.place():
                return await asyncio.get_running_loop().run_in_executor(self._workers, self._parsed, parse, body, held)

    def answer_now(
        self,
        parse: Callable[[HeldBytes], R],
        *,
        seconds: float | None = None,
        is_there: Callable[[], bool] = lambda: True,
    ) -> tuple[R, Answer]:
        """Answer one request whose bytes are there, in this thread.

        Args:
            parse: makes the request, and accounts for its bytes.
            seconds: that whoever asks will wait; None: as long as it takes.
            is_there: whether whoever asked still waits.
        Returns:
            The request, and what is said of its images.
        Raises:
            As `answer`, and ClientGoneError where nobody waits any more.
        """
        with self._admitted() as held:
            request = parse(held)
            try:
                with self._admission.place():
                    return request, self._infer(request, held, seconds)
            finally:
                if not is_there():
                    raise ClientGoneError("the client went away while it was answered.")

    @contextmanager
    def _admitted(self) -> Iterator[HeldBytes]:
        """The only place that admits, times and counts requests."""
        started, code = time.perf_counter(), _BUG
        try:
            with self._admission.request() as held:
                self._admission.check_place()
                yield held
            code = 200
        except SecondReadError as error:
            code = error.http_status
            raise
        except asyncio.CancelledError:
            code = ClientGoneError.http_status
            raise
        finally:
            self._measures.request(code, time.perf_counter() - started)

    def _parsed(self, parse: Callable[[bytes], R], body: bytes, held: HeldBytes) -> tuple[R, Answer]:
        request = parse(body)
        return request, self._infer(request, held, None)

    def _infer(self, request: Request, held: HeldBytes, seconds: float | None) -> Answer:
        started = time.perf_counter()
        images = self._fetched(request.urls, held) if request.urls else request.images
        with self._measures.stage("decode"):
            pixels = self._pixels(images)
        with self._measures.stage("predict"):
            left = None if seconds is None else max(0.0, seconds - (time.perf_counter() - started))
            probabilities, ood_score = self._predictor.infer(pixels, seconds=left)
        reading = interpret(probabilities, ood_score, self.model.config)
        self._measures.reading(reading)
        return contract.answer(images, reading, self.model)

    def _fetched(self, urls: Sequence[str], held: HeldBytes) -> list[bytes]:
        """Images by their addresses."""
        if not self._remote.allowed:
            raise InputError(f"input '{contract.URL}' is off here (serve.url_hosts): send '{contract.INPUT}' instead.")
        with self._measures.stage("fetch"):
            tasks = [self._fetchers.submit(self._remote.fetch, i, url, held.add) for i, url in enumerate(urls)]
            try:
                return [task.result() for task in tasks]
            finally:
                for task in tasks:
                    task.cancel()

    def _pixels(self, images: Sequence[bytes]) -> Pixels:
        """Decode all images of a request.

        Returns:
            uint8 (images, 1, size, size).
        Raises:
            ImageError, TooLargeError: of the first bad image, naming its index.
        """
        if len(images) == 1:
            return self._one(0, images[0])[np.newaxis, np.newaxis]
        tasks = [self._decoders.submit(self._one, index, data) for index, data in enumerate(images)]
        try:
            return np.stack([task.result() for task in tasks])[:, np.newaxis]
        finally:
            for task in tasks:
                task.cancel()

    def _one(self, index: int, data: bytes) -> Pixels:
        try:
            with self._decoding:
                return preprocess(data, self.model.config.preprocessing, limits=self._limits)
        except InputError as error:
            raise type(error)(f"image {index}: {error}") from error

    def close(self) -> None:
        """Let go of the threads and of the channel to Triton."""
        self.ready = False
        for pool in (self._workers, self._fetchers, self._decoders):
            pool.shutdown(wait=False, cancel_futures=True)
        self._predictor.close()
