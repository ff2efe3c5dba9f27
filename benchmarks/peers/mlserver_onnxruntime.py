"""A model behind MLServer, as its documentation has a custom runtime: encoded images in, Pillow, `session.run`.

Runs in `.venv-mlserver`, which `make bench` makes from requirements-mlserver.txt. `model-settings.json` names the class
below as implementation, the ONNX file as `uri`, and under `extra` how many `threads` a run has.
"""

from __future__ import annotations

import asyncio
import io

import numpy as np
import numpy.typing as npt
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri
from PIL import Image


class OnnxModel(MLModel):
    """One ONNX file. Input `image` BYTES `[n]`, as bytes or base64; outputs `label` and `probabilities`."""

    async def load(self) -> bool:
        """Open the graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.settings.parameters.extra["threads"]
        # threads that wait by spinning stand in the way of those that decode
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = await get_model_uri(self.settings)
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._size = self._session.get_inputs()[0].shape[-1]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Read some images, in a thread, so that the next request is taken meanwhile."""
        images = Base64Codec.decode_input(payload.inputs[0])  # which leaves bytes that are no base64 as they are
        probabilities = await asyncio.to_thread(self._probabilities, images)
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                NumpyCodec.encode_output("label", probabilities.argmax(axis=1)),
                NumpyCodec.encode_output("probabilities", probabilities),
            ],
        )

    def _probabilities(self, images: list[bytes]) -> npt.NDArray[np.float32]:
        pixels = np.stack([self._pixels(image) for image in images])[:, np.newaxis]
        return self._session.run(["probabilities"], {"pixels": pixels})[0]

    def _pixels(self, image: bytes) -> npt.NDArray[np.uint8]:
        with Image.open(io.BytesIO(image)) as picture:
            return np.asarray(picture.convert("L").resize((self._size, self._size), Image.Resampling.BILINEAR))
