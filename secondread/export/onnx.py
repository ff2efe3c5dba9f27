"""The served graphs: pixels in, calibrated probabilities out, as one ONNX file; and the one that says where it looked.

Normalisation, scaling, softmax and the out-of-distribution score are inside, so that no client can get them wrong.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from onnxscript import optimizer
from torch import Tensor, nn
from torch.export import Dim

from secondread.atomic import atomic_file
from secondread.errors import InputError
from secondread.model.out_of_distribution import Strangeness
from secondread.model.saliency import explain
from secondread.model.session import INPUT, OUTPUTS, SALIENCY
from secondread.model.vit import Prediction, ViT

# The oldest that has LayerNormalization and Gelu as one node each; a newer one shuts out older servers for nothing.
OPSET = 20


class ServedGraph(nn.Module):
    """What is served, as a torch module: the contract of the ONNX graph.

    Args:
        model: trained classifier.
        temperature: above 0; divides the margins, z_top - z, that logits are below the largest one of their image.
        margin_power: above 0; that these are raised to. 1: a temperature alone.
        strangeness: the out-of-distribution score.
    """

    def __init__(self, model: ViT, *, temperature: float, strangeness: Strangeness, margin_power: float = 1.0) -> None:
        super().__init__()
        for name, value in (("temperature", temperature), ("margin power", margin_power)):
            if not value > 0:
                raise InputError(f"the {name} is {value}; it must be above 0.")
        self.model = model
        self.temperature = temperature
        self.margin_power = margin_power
        self.strangeness = strangeness
        self.eval()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Answer for a batch.

        Args:
            pixels: uint8 (batch, 1, size, size).
        Returns:
            probabilities float32 (batch, classes), embedding float32 (batch, dim), ood_score float32 (batch,).
        """
        return self.answer(*self.model.describe(pixels.to(torch.float32) / 255))

    def answer(self, prediction: Prediction, description: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The answer, of what `ViT.describe` gives."""
        margins = prediction.logits.amax(dim=1, keepdim=True) - prediction.logits
        probabilities = torch.softmax(-((margins / self.temperature) ** self.margin_power), dim=1)
        return probabilities, prediction.embedding, self.strangeness(description)


class ExplainingGraph(nn.Module):
    """The same answers, and where the network looked.

    Args:
        served: what is served.
    """

    def __init__(self, served: ServedGraph) -> None:
        super().__init__()
        self.served = served

    @property
    def model(self) -> ViT:
        """The classifier."""
        return self.served.model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Answer for a batch.

        Args:
            pixels: uint8 (batch, 1, size, size).
        Returns:
            What `ServedGraph` gives, and saliency float32 (batch, size, size), in [0, 1].
        """
        explained = explain(self.model, pixels.to(torch.float32) / 255)
        return *self.served.answer(explained.prediction, explained.description), explained.saliency


def export_onnx(graph: ServedGraph | ExplainingGraph, output: Path) -> None:
    """Write the graph as one ONNX file, whole or not at all.

    It is simplified (constants folded), not optimised: what an optimiser writes may be bound to one processor.

    Args:
        graph: what to serve.
        output: file to write.
    """
    names = [*OUTPUTS, SALIENCY] if isinstance(graph, ExplainingGraph) else list(OUTPUTS)
    size = graph.model.config.image_size
    # two images, not one: the exporter takes a batch of 1 for a constant
    example = torch.zeros(2, 1, size, size, dtype=torch.uint8)
    with _quiet():
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=names,
            dynamic_shapes={"pixels": {0: Dim("batch")}},
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch's exporter gave no program")
    model = optimizer.optimize(program.model_proto)
    # shapes noted by the exporter do not survive simplification, and quantization would stop at the difference
    del model.graph.value_info[:]
    _forget_origin(model)
    onnx.checker.check_model(model)
    with atomic_file(output) as aside:
        aside.write_bytes(model.SerializeToString())


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes on where in the source each node came from: they name files of this machine."""
    del model.metadata_props[:]
    graph = model.graph
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's running commentary, on stdout and as warnings, from the user."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
