"""A model behind FastAPI, as the tutorials of both have it: an uploaded file, Pillow, `session.run`.

`python -m benchmarks.peers.fastapi_onnxruntime fp32.onnx 8000`, then `POST /predict` with the form field `file`.
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image


def create_app(graph: str) -> FastAPI:
    """The application for one ONNX file."""
    app = FastAPI()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
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
    uvicorn.run(create_app(sys.argv[1]), port=int(sys.argv[2]), log_level="warning")
