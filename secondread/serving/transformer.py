"""The transformer: a KServe model that turns image bytes into pixels, asks Triton, and puts the answer into words."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
from secondread.serving.interpret import interpret
from secondread.serving.metrics import Measures
from secondread.serving.predictor import Predictor
from secondread.serving.sdk import InferenceVerb, InferOutput, InferRequest, InferResponse, Model, ModelNotFound
from secondread.serving.wire import images_of

Pixels = npt.NDArray[np.uint8]

_NOT_FOUND = 404
_BUG = 500


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
        # Decoding lets go of the interpreter lock, so threads help, but not more of them than CPUs.
        self._pool = ThreadPoolExecutor(config.threads or cpu_limit(), thread_name_prefix="decode")
        self._measures = Measures(config.name, model.version, model.config.taxonomy.names)
        self.ready = True

    def check(self, name: str, version: str | None) -> None:
        """Refuse a request for another model, or for another version of this one.

        Raises:
            ModelNotFound: there is no such model here.
        """
        if name != self.name or version not in (None, "", self.model.version):
            raise ModelNotFound(f"{name} (version {version})" if version else name)

    def get_input_types(self) -> list[dict[str, Any]]:
        """The input, for V2's metadata."""
        return contract.INPUT_TYPES

    def get_output_types(self) -> list[dict[str, Any]]:
        """The outputs, for V2's metadata."""
        return contract.output_types(self.model)

    async def healthy(self) -> bool:
        """Whether an image that came now would be answered: Triton is up and has this version."""
        return bool(self.ready) and await self._predictor.ready()

    async def __call__(
        self,
        body: InferRequest,
        headers: dict[str, str] | None = None,  # noqa: ARG002 - the SDK's signature
        verb: InferenceVerb = InferenceVerb.PREDICT,  # noqa: ARG002
    ) -> tuple[InferResponse, dict[str, str]]:
        """Answer one request, as the SDK calls a model."""

        async def given(_: HeldBytes) -> InferRequest:
            return body

        return await self.answer(given), {}

    async def answer(self, read: Callable[[HeldBytes], Awaitable[InferRequest]]) -> InferResponse:
        """Answer one request, however it came. The only place that admits, times and counts requests.

        Args:
            read: gives the request, and accounts for its bytes as they come; called only while there is a free place.
        Raises:
            OverloadedError: too many requests, or too many bytes, are in flight.
            SecondReadError: whatever is wrong with the request, or with Triton.
            ModelNotFound: another version is asked for.
        """
        started, code = time.perf_counter(), _BUG
        try:
            with self._admission.request() as held:
                self._admission.check_place()
                request = await read(held)
                with self._admission.place():
                    response = await self._infer(request)
            code = 200
        except SecondReadError as error:
            code = error.http_status
            raise
        except ModelNotFound:
            code = _NOT_FOUND
            raise
        except asyncio.CancelledError:  # gRPC's way to say that the client cancelled, or that its deadline passed
            code = ClientGoneError.http_status
            raise
        finally:
            self._measures.request(code, time.perf_counter() - started)
        return response

    async def _infer(self, request: InferRequest) -> InferResponse:
        self.check(request.model_name, request.model_version)
        images = images_of(request)
        with self._measures.stage("decode"):
            pixels = await self._pixels(images)
        with self._measures.stage("predict"):
            probabilities, ood_score = await self._predictor.infer(pixels)
        reading = interpret(probabilities, ood_score, self.model.config)
        self._measures.reading(reading)
        return self._response(request, contract.answer(images, reading, self.model))

    async def _pixels(self, images: Sequence[bytes]) -> Pixels:
        """Decode all images of a request.

        Returns:
            uint8 (images, 1, size, size).
        Raises:
            ImageError, TooLargeError: of the first bad image, naming its index.
        """
        loop = asyncio.get_running_loop()
        tasks = [loop.run_in_executor(self._pool, self._one, index, data) for index, data in enumerate(images)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return np.stack([result for result in results if not isinstance(result, BaseException)])[:, np.newaxis]

    def _one(self, index: int, data: bytes) -> Pixels:
        try:
            return preprocess(data, self.model.config.preprocessing, limits=self._limits)
        except InputError as error:
            raise type(error)(f"image {index}: {error}") from error

    def _response(self, request: InferRequest, answer: contract.Answer) -> InferResponse:
        outputs = [
            InferOutput(name, list(tensor.shape), contract.DATATYPES[name], data=tensor)
            for name, tensor in answer.tensors.items()
        ]
        return InferResponse(
            response_id=request.id or str(uuid.uuid4()),
            model_name=self.name,
            model_version=self.model.version,
            infer_outputs=outputs,
            parameters=answer.parameters,
            # gRPC sends arrays raw by itself; told to do so, the SDK fails on them
            use_binary_outputs=request.use_binary_outputs and not request.from_grpc,
            requested_outputs=request.request_outputs,
        )

    async def close(self) -> None:
        """Let go of the threads and of the channel to Triton."""
        self.ready = False
        self._pool.shutdown(wait=False, cancel_futures=True)
        await self._predictor.close()
