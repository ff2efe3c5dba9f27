"""Makes INT8 graphs of a served graph, with onnxruntime's quantizer.

What is quantized: the products with constant weights (MatMul, Gemm, Conv) on the way to the embedding, weights per
output channel. What stays in float: attention products, LayerNorm, Softmax and GELU, which lose accuracy and gain no
time; the first convolution, which sees the raw pixels and costs next to nothing; and the class scores behind the
embedding and the out-of-distribution score beside it: few products that decide everything.

Activations are unsigned and weights have 7 bits (`u8s8`): without VNNI, x86 adds pairs of 8-bit products in 16 bits,
which 8-bit weights overflow, so that the answers would depend on the machine. With 7 bits every machine gives the same.
`s8s8` is what processors other than x86 like best; onnxruntime on x86 has no packed kernel for it.
Source: onnxruntime, "Quantize ONNX models"; Jacob et al. 2018, arXiv:1712.05877.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from secondread.errors import InputError
from secondread.model.session import INPUT

DYNAMIC = "dynamic"
STATIC = "static-u8s8"
STATIC_LINEAR = "static-u8s8-linear"
STATIC_SIGNED = "static-s8s8"

_LINEAR, _CONVOLUTION = ("MatMul", "Gemm"), ("Conv",)
_CALIBRATION_BATCH = 32  # images; bounds the memory, the ranges do not depend on it


def write_candidates(fp32: Path, calibration: npt.NDArray[np.uint8], folder: Path) -> dict[str, Path]:
    """Write every INT8 candidate of a graph.

    Args:
        fp32: the served graph in float.
        calibration: uint8 (images, 1, size, size), training images whose activations set the static ranges.
        folder: to write into.
    Returns:
        Candidate to ONNX file: dynamic (ranges measured in every run), and static with linear layers only, with
        linear layers and convolutions, and that with signed activations.
    Raises:
        InputError: the graph has no constant weights before its embedding.
    """
    prepared = folder / "prepared.onnx"
    with _quiet():
        prepare(fp32, prepared)
        linear, convolutions = quantizable(onnx.load(prepared))
        if not linear:
            raise InputError(f"{fp32} has no linear layer before its embedding: there is nothing to quantize.")
        paths = {name: folder / f"{name}.onnx" for name in (DYNAMIC, STATIC_LINEAR, STATIC, STATIC_SIGNED)}
        _dynamic(prepared, paths[DYNAMIC], linear)
        everything = [*linear, *convolutions[1:]]
        for name, nodes in ((STATIC_LINEAR, linear), (STATIC, everything), (STATIC_SIGNED, everything)):
            _static(prepared, paths[name], nodes, calibration, signed=name == STATIC_SIGNED)
    return paths


def prepare(fp32: Path, output: Path) -> None:
    """Fold constants and note shapes, as the quantizer wants it; every node gets a name."""
    model = onnx.load(fp32)
    # Shapes noted by an exporter need not agree with those inferred here, at which shape inference would stop.
    del model.graph.value_info[:]
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    named = output.with_name("named.onnx")
    onnx.save(model, named)
    # Symbolic shapes need sympy and tell nothing more about a graph whose only free size is the batch.
    quant_pre_process(str(named), str(output), skip_symbolic_shape=True)


def quantizable(model: onnx.ModelProto) -> tuple[list[str], list[str]]:
    """Names of the linear layers and of the convolutions that may be quantized, in the order they run."""
    constants = {tensor.name for tensor in model.graph.initializer}
    before = _ancestors(model, "embedding")
    chosen = [node for node in model.graph.node if node.name in before and len(node.input) > 1]
    return (
        [node.name for node in chosen if node.op_type in _LINEAR and node.input[1] in constants],
        [node.name for node in chosen if node.op_type in _CONVOLUTION and node.input[1] in constants],
    )


def _ancestors(model: onnx.ModelProto, tensor: str) -> set[str]:
    """Names of the nodes that a tensor is computed by."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    found: set[str] = set()
    waiting = [tensor]
    while waiting:
        node = made_by.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting.extend(node.input)
    return found


class _Images(CalibrationDataReader):  # type: ignore[misc]
    """Hands the calibration images to onnxruntime in batches."""

    def __init__(self, pixels: npt.NDArray[np.uint8]) -> None:
        starts = range(0, len(pixels), _CALIBRATION_BATCH)
        self._batches = iter([pixels[start : start + _CALIBRATION_BATCH] for start in starts])

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: np.ascontiguousarray(batch)}


def _dynamic(prepared: Path, output: Path, nodes: list[str]) -> None:
    """Convolutions stay in float: their dynamic kernel is several times slower than the float one."""
    quantize_dynamic(
        prepared,
        output,
        op_types_to_quantize=list(_LINEAR),
        nodes_to_quantize=nodes,
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
    )


def _static(
    prepared: Path, output: Path, nodes: list[str], calibration: npt.NDArray[np.uint8], *, signed: bool
) -> None:
    """Linear layers give float: the next step (bias, GELU, residual, attention) wants it, and rounding is saved."""
    quantize_static(
        prepared,
        output,
        _Images(calibration),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=[*_LINEAR, *_CONVOLUTION],
        nodes_to_quantize=nodes,
        per_channel=True,
        reduce_range=not signed,
        activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        # the ranges are those of the float graph, the same for every static candidate: measured once
        calibration_cache_path=prepared.with_name("ranges.json"),
        extra_options={"OpTypesToExcludeOutputQuantization": list(_LINEAR)},
    )


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
