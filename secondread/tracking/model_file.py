"""What MLflow knows of a model besides its version: inputs and outputs, and where the graph lies (`MLmodel`)."""

from __future__ import annotations

import numpy as np
from mlflow.models import Model
from mlflow.models.signature import ModelSignature
from mlflow.types import Schema, TensorSpec

from secondread.export.repository.layout import GRAPH_FILE
from secondread.model.folder import ModelFolder
from secondread.model.session import open_graph

MODEL_FILE = "MLmodel"  # as MLflow calls it


def model_signature(model: ModelFolder) -> ModelSignature:
    """Inputs and outputs of the graph that is served, as MLflow writes them; -1 is the number of images."""
    size, classes = model.config.preprocessing.size, len(model.config.taxonomy.classes)
    embedding = open_graph(model).run(np.zeros((1, 1, size, size), np.uint8)).embedding.shape[1]
    real = np.dtype(np.float32)
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, 1, size, size), "pixels")]),
        outputs=Schema(
            [
                TensorSpec(real, (-1, classes), "probabilities"),
                TensorSpec(real, (-1, embedding), "embedding"),
                TensorSpec(real, (-1,), "ood_score"),
            ]
        ),
    )


def signature_tags(signature: ModelSignature) -> dict[str, str]:
    """The same as tags, since a version whose files are elsewhere shows nothing of them."""
    return {f"signature.{part}": text for part, text in signature.to_dict().items() if text and part != "params"}


def model_file(model: ModelFolder, signature: ModelSignature, *, name: str, version: int, run_id: str) -> str:
    """The file `MLmodel` of a repository: the same text each time, so that a repository is signed once.

    Args:
        model: what is registered.
        signature: of `model_signature`.
        name: of the model.
        version: in the registry.
        run_id: of the MLflow run that trained it; empty if none.
    """
    flavor = {"data": f"{name}/{version}/{GRAPH_FILE}", "providers": ["CPUExecutionProvider"], "code": None}
    document = Model(
        run_id=run_id or None,
        # of the content, and no time: whoever writes it again writes the same
        utc_time_created=None,
        # nor which MLflow wrote it, which another one would change
        mlflow_version=None,
        model_uuid=model.digest()[:32],
        flavors={"onnx": flavor},
        signature=signature,
        metadata={"digest": model.digest(), "dataset_version": model.config.dataset_version},
    )
    return _without_time(document.to_yaml())


def _without_time(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("utc_time_created:"))
