"""How good the graph of a model that was just trained is on some images."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from secondread.data.versions.dataset import SplitData
from secondread.evaluation.metrics.by_name import overall
from secondread.model.folder import ModelFolder
from secondread.model.session import open_graph


def judge(
    model: ModelFolder, data: SplitData, *, threads: int = 0
) -> tuple[npt.NDArray[np.float32], dict[str, float | None]]:
    """Run the graph that would be served.

    Args:
        model: of the data's own classes, in their order.
        data: the images.
        threads: of ONNX Runtime; 0: the CPUs of the container.
    Returns:
        Probabilities, float32 (images, classes); and the figures of `metrics.by_name.OVERALL` with `loss` (nats) for
        `nll`, None where the images cannot tell. Of few images the calibration error is mostly chance and has no mean
        worth taking: it is left out.
    """
    probabilities = open_graph(model, threads=threads or None).run(data.images).probabilities
    figures = overall(probabilities, data.labels)
    figures["loss"] = figures.pop("nll")
    del figures["ece"]
    return probabilities, {name: value if math.isfinite(value) else None for name, value in figures.items()}
