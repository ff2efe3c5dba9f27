"""Makes INT8 graphs of a served graph, with onnxruntime's quantizer and products of our own.

What is quantized: the products with constant weights (MatMul, Gemm, Conv) on the way to the embedding, weights per
output channel; and, where it pays, attention's own products (`export.graphs.products`). What stays in float: LayerNorm,
softmax and GELU, which lose accuracy and gain no time; the first convolution, which sees the raw pixels and costs next
to nothing; and the class scores behind the embedding and the out-of-distribution score beside it: few products that
decide everything.

Activations are unsigned and weights have 7 bits: without VNNI, x86 adds pairs of 8-bit products in 16 bits, which 8-bit
weights overflow, so that the answers would depend on the machine. With 7 bits every machine gives the same. Processors
other than x86 get signed activations and 8-bit weights, which is what they like best; onnxruntime on x86 has no packed
kernel for those.
Source: onnxruntime, "Quantize ONNX models"; Jacob et al. 2018, arXiv:1712.05877.
"""

from __future__ import annotations

import contextlib
import io
import logging
import platform
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data
from onnxruntime.quantization.shape_inference import quant_pre_process

from secondread.errors import InputError
from secondread.export.graphs.graph import CONTRIB, Graph
from secondread.export.graphs.products import ProductRanges, quantize_products, shares_keys
from secondread.export.graphs.ranges import Range, Seen

_LINEAR, _CONVOLUTION = ("MatMul", "Gemm"), ("Conv",)
_X86 = ("x86_64", "AMD64")
_LEAST_ROWS = 128  # queries of an image below which 8-bit attention saves nothing, such as those of one token


@dataclass(frozen=True)
class Layers:
    """What may be quantized: names of nodes, in the order they run.

    Attributes:
        linear: products with a constant matrix.
        convolutions: all but the first.
        attention: fused attention whose heads share keys and values.
    """

    linear: tuple[str, ...]
    convolutions: tuple[str, ...]
    attention: tuple[str, ...]

    @property
    def weighted(self) -> tuple[str, ...]:
        """Those with constant weights."""
        return self.convolutions + self.linear


def prepare(graph: Path, output: Path) -> None:
    """Fold constants and note shapes, as the quantizer wants it; every node gets a name."""
    model = onnx.load(graph)
    # Shapes noted by an exporter need not agree with those inferred here, at which shape inference would stop.
    del model.graph.value_info[:]
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    named = output.with_name("named.onnx")
    onnx.save(model, named)
    with _quiet():
        # Symbolic shapes need sympy and tell nothing more about a graph whose only free size is the batch.
        quant_pre_process(str(named), str(output), skip_symbolic_shape=True)
    model = onnx.load(output)
    # onnx cannot infer what operators of onnxruntime give, and a product whose type is not known would stay in float
    model.graph.value_info.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for node in model.graph.node
        if node.domain == CONTRIB
        for name in node.output
    )
    onnx.save(model, output)


def find_layers(prepared: Path) -> Layers:
    """What of a graph may be quantized.

    Args:
        prepared: what `prepare` wrote.
    Raises:
        InputError: the graph has no constant weights before its embedding.
    """
    graph = Graph(onnx.load(prepared))
    before = graph.ancestors("embedding")
    chosen = [node for node in graph.nodes if node.output[0] in before and len(node.input) > 1]
    weighted = [node for node in chosen if node.input[1] in graph.constants]
    linear = tuple(node.name for node in weighted if node.op_type in _LINEAR)
    if not linear:
        raise InputError(f"{prepared.name} has no linear layer before its embedding: there is nothing to quantize.")
    convolutions = tuple(node.name for node in weighted if node.op_type in _CONVOLUTION)
    return Layers(linear, convolutions[1:], tuple(node.name for node in chosen if shares_keys(node)))


def activations(prepared: Path, layers: Layers) -> list[str]:
    """The tensors whose ranges `write_static` needs."""
    graph = Graph(onnx.load(prepared))
    wanted: dict[str, None] = {}
    for node in graph.nodes:
        if node.name in layers.linear:
            wanted[node.input[0]] = None
        elif node.name in layers.convolutions:
            outputs = [node.output[0], *(user.output[0] for user in graph.users[node.output[0]])]
            wanted.update(dict.fromkeys([node.input[0], *outputs]))
        elif node.name in layers.attention:
            wanted.update(dict.fromkeys(node.input[:2]))
    return list(wanted)


def write_dynamic(prepared: Path, output: Path, layers: Layers) -> None:
    """Write a graph that measures the ranges of its activations in every run.

    Convolutions stay in float: their dynamic kernel is several times slower than the float one.
    """
    with _quiet():
        quantize_dynamic(
            prepared,
            output,
            op_types_to_quantize=list(_LINEAR),
            nodes_to_quantize=list(layers.linear),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )


def write_static(
    prepared: Path, output: Path, nodes: Collection[str], *, ranges: Mapping[str, Range], seen: Mapping[str, Seen]
) -> None:
    """Write a graph with fixed ranges.

    Args:
        prepared: what `prepare` wrote.
        output: file to write.
        nodes: names of those to quantize, of `find_layers`.
        ranges: of every tensor that `activations` names.
        seen: the same tensors, as they were observed.
    """
    by_name = {node.name: node for node in onnx.load(prepared).graph.node}
    weighted = [name for name in by_name if name in nodes and not shares_keys(by_name[name])]
    products = {
        name: ProductRanges(ranges[node.input[0]], ranges[node.input[1]], seen[node.input[0]].length)
        for name, node in by_name.items()
        if name in nodes and shares_keys(node)
    }
    if weighted:
        _write_weighted(prepared, output, weighted, ranges)
    model = onnx.load(output if weighted else prepared)
    onnx.save(quantize_products(model, products), output)


def few_rows(seen: Mapping[str, Seen], prepared: Path, layers: Layers) -> Layers:
    """The same without attention that has too few queries to gain from 8 bits."""
    by_name = {node.name: node for node in onnx.load(prepared).graph.node}
    many = [name for name in layers.attention if seen[by_name[name].input[0]].length >= _LEAST_ROWS]
    return Layers(layers.linear, layers.convolutions, tuple(many))


def _write_weighted(prepared: Path, output: Path, nodes: list[str], ranges: Mapping[str, Range]) -> None:
    """Linear layers give float: the next step (bias, GELU, residual, attention) wants it, and rounding is saved."""
    signed = platform.machine() not in _X86
    known = {name: (np.float32(item.low), np.float32(item.high)) for name, item in ranges.items()}
    cache = output.with_suffix(".ranges.json")
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, known), cache)
    with _quiet():
        quantize_static(
            prepared,
            output,
            None,  # the ranges are known
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*_LINEAR, *_CONVOLUTION],
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=not signed,
            activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibration_cache_path=cache,
            extra_options={"OpTypesToExcludeOutputQuantization": list(_LINEAR)},
        )
    cache.unlink()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's commentary, on stdout and in the root logger, from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
