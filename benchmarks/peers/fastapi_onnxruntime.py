"""A model behind FastAPI, as the tutorials of both have it: an uploaded file, Pillow, `session.run`.

`python -m benchmarks.peers.fastapi_onnxruntime fp32.onnx 8000 0`, then `POST /predict` with the form field `file`. The
last number is the threads of a run; 0 leaves them to onnxruntime, as the tutorials do.
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image


def create_app(graph: str, threads: int) -> FastAPI:
    """The application for one ONNX file."""
    app = FastAPI()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    size = session.get_inputs()[0].shape[-1]

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/predict")
    def predict(file: UploadFile) -> dict[str, int | list[float]]:
        with Image.open(file.file) as image:
            pixels = np.asarray(image.convert("L").resize((size, size), Image.Resampling.BILINEAR))
        probabilities = session.run(["probabilities"], {"pixels": pixels[np.newaxis, np.newaxis]})[0][0]
        return {"label": int(probabilities.argmax()), "probabilities": probabilities.tolist()}

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(sys.argv[1], int(sys.argv[3])), port=int(sys.argv[2]), log_level="warning")
