"""A graph with 16-bit weights and arithmetic, for GPUs: on a CPU every operator would convert to and fro."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from secondread.atomic import atomic_file
from secondread.export.graphs.graph import Graph


def write_half(fp32: Path, output: Path) -> None:
    """Write the graph in FP16. What it takes and gives is as before.

    Behind the embedding and for the out-of-distribution score it stays in float: few products that decide everything,
    and sums of squares. The exported form is taken, not the fused one: no operator in it is bound to a runtime.

    Args:
        fp32: the served graph, as exported.
        output: file to write.
    """
    model = onnx.load(fp32)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    graph = Graph(model)
    before = graph.ancestors("embedding")
    inside = {node.name for node in graph.nodes if node.output[0] in before}
    # what the score shares with the embedding is converted; what it has alone is not
    kept = [node.name for node in graph.nodes if node.name not in inside]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of weights below what 16 bits can tell from 0
        half = convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
    _drop_twins(half)
    with atomic_file(output) as aside:
        aside.write_bytes(half.SerializeToString())


def _drop_twins(model: onnx.ModelProto) -> None:
    """The converter writes a conversion twice where two nodes in float use one tensor, which is no valid graph."""
    made: set[str] = set()
    for node in list(model.graph.node):
        if node.op_type == "Cast" and node.output[0] in made:
            model.graph.node.remove(node)
        made.update(node.output)
