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
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from secondread.config.serve import ServeConfig
from secondread.cpus import cpu_limit
from secondread.data.pixels.decode import DecodeLimits
from secondread.data.pixels.preprocess import preprocess
from secondread.errors import InputError, OverloadedError, SecondReadError, TooLargeError
from secondread.export.repository.layout import RepositoryModel
from secondread.model.session import SALIENCY
from secondread.serving.observe.observed import note, stage
from secondread.serving.protocol import contract
from secondread.serving.protocol.contract import Answer, Request
from secondread.serving.protocol.interpret import interpret, map_of_read_class
from secondread.serving.transformer.admission import Admission, ClientGoneError, HeldBytes
from secondread.serving.transformer.answer_log import AnswerLog
from secondread.serving.transformer.metrics import watch_queue
from secondread.serving.transformer.predictor import EMBEDDING
from secondread.serving.transformer.remote import RemoteImages
from secondread.serving.transformer.sdk import Model
from secondread.serving.transformer.versions import Served, ServedVersion, Versions

Pixels = npt.NDArray[np.uint8]
R = TypeVar("R", bound=Request)

_BUG = 500
_FETCHERS = 8  # images that are fetched at the same time, of all requests


@dataclass
class _Asked:
    """One request.

    Attributes:
        held: its bytes.
        served: model whose measures count it: the one that it is answered with, once that is known.
    """

    held: HeldBytes
    served: Served


class Transformer(Model):  # type: ignore[misc]
    """A model, and the one that explains it, behind one Triton.

    Args:
        version: that is served at first.
        config: limits and threads.
    Attributes:
        versions: that are served.
    """

    def __init__(self, version: ServedVersion, config: ServeConfig) -> None:
        super().__init__(config.name)
        self.versions = Versions(version)
        self._admission = Admission(max_requests=config.max_in_flight, max_bytes=config.max_bytes_in_flight)
        self._limits = DecodeLimits(max_bytes=config.max_request_bytes, max_pixels=config.max_image_pixels)
        # Decoding lets go of the interpreter lock, so threads help, but not more of them than CPUs: each may hold a
        # film of the largest size.
        threads = config.threads or cpu_limit()
        self._decoding = threading.BoundedSemaphore(threads)
        self._patience = config.predictor_timeout_seconds
        self._decoders = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._remote = RemoteImages(config)
        self._answer_log = AnswerLog(Path(config.answer_log)) if config.answer_log else None
        self._fetching = threading.BoundedSemaphore(config.max_url_in_flight)
        self._fetchers = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch")
        self._workers = ThreadPoolExecutor(config.max_in_flight, thread_name_prefix="request")
        watch_queue(self._admission, config.name, version.number)
        self.ready = True

    def switch(self, to: ServedVersion) -> list[ServedVersion]:
        """Have another version answer whoever names none: see `Versions.switch`."""
        before = self.versions.current.number
        dropped = self.versions.switch(to)
        watch_queue(self._admission, self.name, to.number, before=before)
        return dropped

    def get_input_types(self) -> list[dict[str, Any]]:
        """The input, for V2's metadata."""
        return contract.INPUT_TYPES

    def get_output_types(self) -> list[dict[str, Any]]:
        """The outputs, for V2's metadata."""
        return contract.output_types(self.versions.current.first.model)

    def is_ready(self) -> bool:
        """Whether an image that came now would be answered: Triton is up and has this version."""
        return bool(self.ready) and self.versions.current.first.predictor.ready()

    async def healthy(self) -> bool:
        """The same, as the SDK asks."""
        return await asyncio.get_running_loop().run_in_executor(None, self.is_ready)

    async def answer(
        self, name: str, version: str, read: Callable[[HeldBytes], Awaitable[bytes]], parse: Callable[[bytes], R]
    ) -> tuple[R, Answer]:
        """Answer one request whose bytes are still to come.

        Args:
            name: of the model asked.
            version: of it; empty for the current one.
            read: gives its bytes, and accounts for them as they come; called only while there is a free place.
            parse: makes the request of them.
        Returns:
            The request, and what is said of its images.
        Raises:
            OverloadedError: too many requests, or too many bytes, are in flight.
            UnknownModelError: another model or version is asked for.
            SecondReadError: whatever is wrong with the request, or with Triton.
        """
        with self._admitted(name) as asked:
            body = await read(asked.held)

            def work() -> tuple[R, Answer]:
                request = parse(body)
                return request, self._infer(asked, name, version, request, None)

            with self._admission.place():
                # in the worker, too, it is this request that is told of
                work_in_context = partial(copy_context().run, work)
                return await asyncio.get_running_loop().run_in_executor(self._workers, work_in_context)

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
            version: of it; empty for the current one.
            parse: makes the request, and accounts for its bytes.
            seconds: that whoever asks will wait; None: as long as it takes.
            is_there: whether whoever asked still waits.
        Returns:
            The request, and what is said of its images.
        Raises:
            As `answer`, and ClientGoneError where nobody waits any more.
        """
        with self._admitted(name) as asked:
            request = parse(asked.held)
            try:
                with self._admission.place():
                    return request, self._infer(asked, name, version, request, seconds)
            finally:
                if not is_there():
                    raise ClientGoneError("the client went away while it was answered.")

    @contextmanager
    def _admitted(self, name: str) -> Iterator[_Asked]:
        """The only place that admits, times and counts requests; those for models that are not here are the first's."""
        started, code, current = time.perf_counter(), _BUG, self.versions.current
        with self._admission.request() as held:
            asked = _Asked(held, current.models.get(name, current.first))
            try:
                self._admission.check_place()
                yield asked
                code = 200
            except BaseException as error:
                if isinstance(error, SecondReadError):
                    code = error.http_status
                elif isinstance(error, asyncio.CancelledError):
                    code = ClientGoneError.http_status
                note({"error.type": type(error).__name__})
                raise
            finally:
                asked.served.measures.request(code, time.perf_counter() - started)

    def _infer(self, asked: _Asked, name: str, version: str, request: Request, seconds: float | None) -> Answer:
        with self.versions.using(name, version) as asked.served:
            return self._answer_with(asked.served, request, asked.held, seconds)

    def _answer_with(self, served: Served, request: Request, held: HeldBytes, seconds: float | None) -> Answer:
        started, model = time.perf_counter(), served.model
        wanted = contract.wanted_outputs(request.outputs, model)
        if (count := len(request.urls or request.images)) > served.max_images:
            raise TooLargeError(f"{count} images are more than the {served.max_images} of one request to {model.name}.")
        note(
            {
                "secondread.model.name": model.name,
                "secondread.model.version": model.version,
                "secondread.images": count,
            }
        )
        images = self._fetched(served, request.urls, held) if request.urls else request.images
        with served.measures.stage("decode"), stage("decode", {"secondread.images": count}):
            pixels = self._pixels(model, images, _left(seconds, started))
        with served.measures.stage("predict"):
            figures = served.predictor.infer(pixels, seconds=_left(seconds, started))
            if served.reader:
                read = served.reader.infer(pixels, seconds=_left(seconds, started))
                told = {"explained": figures["probabilities"], "read": read["probabilities"]}
                figures |= {**read, SALIENCY: map_of_read_class(figures[SALIENCY], **told)}
        reading = interpret(figures["probabilities"], figures["ood_score"].ravel(), model.config)
        served.measures.reading(reading)
        if served.drift and not request.test:
            served.drift.add(reading.probabilities, figures[EMBEDDING])
        explanation: dict[str, contract.Tensor] = {}
        if SALIENCY in figures:
            explanation = {SALIENCY: figures[SALIENCY], contract.PIXELS: pixels[:, 0]}
        answer = contract.answer(images, reading, model, wanted=wanted, explanation=explanation)
        if (ids := answer.tensors.get("reading_id")) is not None:
            note({"secondread.reading.ids": ids.tolist()})
        if self._answer_log and not contract.explains(model):
            known = answer.tensors.get("image_id")  # unless somebody did not want it
            image_ids = map(contract.image_id, images) if known is None else known.tolist()
            self._answer_log.add(time.time(), image_ids, reading.labels)
        return answer

    def _fetched(self, served: Served, urls: Sequence[str], held: HeldBytes) -> list[bytes]:
        """Images by their addresses."""
        if not self._remote.allowed:
            raise InputError(f"input '{contract.URL}' is off here (serve.url_hosts): send '{contract.INPUT}' instead.")
        with self._fetch_place(), served.measures.stage("fetch"), stage("fetch", {"secondread.images": len(urls)}):
            fetch, deadline = self._remote.fetch, self._remote.deadline()
            tasks = [self._fetchers.submit(fetch, i, url, held.add, deadline) for i, url in enumerate(urls)]
            images: list[bytes] = []
            try:
                images.extend(task.result(max(0.0, deadline - time.monotonic())) for task in tasks)
            except TimeoutError as error:  # those of other requests came first
                raise self._remote.too_late(len(images)) from error
            finally:
                for task in tasks:
                    task.cancel()
            return images

    @contextmanager
    def _fetch_place(self) -> Iterator[None]:
        """One of the places of requests that wait for an archive, which may be slow."""
        if not self._fetching.acquire(blocking=False):
            raise OverloadedError("too many requests wait for images by address already. Try again in a second.")
        try:
            yield
        finally:
            self._fetching.release()

    def _pixels(self, model: RepositoryModel, images: Sequence[bytes], seconds: float | None) -> Pixels:
        """Decode all images of a request.

        Args:
            model: that reads them.
            images: as encoded.
            seconds: that whoever asks will wait; None: as long as it takes.
        Returns:
            uint8 (images, 1, size, size).
        Raises:
            ImageError, TooLargeError: of the first bad image, naming its index.
            OverloadedError: other images keep all processors.
            ClientGoneError: whoever asks waits no longer.
        """
        if len(images) == 1:
            return self._one(model, 0, images[0], seconds)[np.newaxis, np.newaxis]
        tasks = [self._decoders.submit(self._one, model, index, data, seconds) for index, data in enumerate(images)]
        try:
            return np.stack([task.result() for task in tasks])[:, np.newaxis]
        finally:
            for task in tasks:
                task.cancel()

    def _one(self, model: RepositoryModel, index: int, data: bytes, seconds: float | None) -> Pixels:
        try:
            with self._processor(seconds):
                return preprocess(data, model.config.preprocessing, limits=self._limits)
        except InputError as error:
            raise type(error)(f"image {index}: {error}") from error

    @contextmanager
    def _processor(self, seconds: float | None) -> Iterator[None]:
        """One of those that decode, inside the block; waited for as long as for Triton."""
        patience = self._patience if seconds is None else min(seconds, self._patience)
        if not self._decoding.acquire(timeout=patience):
            if patience < self._patience:
                raise ClientGoneError("the client's deadline passed.")
            raise OverloadedError(f"other images kept all processors for {self._patience:g} s. Try again.")
        try:
            yield
        finally:
            self._decoding.release()

    def close(self) -> None:
        """Let go of the threads and of the channel to Triton."""
        self.ready = False
        for pool in (self._workers, self._fetchers, self._decoders):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._answer_log:
            self._answer_log.close()
        for version in self.versions.all():
            version.close()


def _left(seconds: float | None, started: float) -> float | None:
    """Of the seconds that somebody waits since then."""
    return None if seconds is None else max(0.0, seconds - (time.perf_counter() - started))
