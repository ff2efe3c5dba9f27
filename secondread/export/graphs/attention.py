"""Finds self-attention in an exported graph: projections of the same tokens, their products, softmax, and the way out.

What is looked for is what torch's exporter writes for `secondread.model.vit.Attention`; anything else is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from secondread.export.graphs.graph import Graph, attribute

DoubleArray = npt.NDArray[np.float64]

_HEADS_FIRST = (0, 2, 1, 3)  # (batch, token, head, width) to (batch, head, token, width)
# ways to (batch, head, width, token); the exporter merges batch and head for the second step
_KEYS_UPRIGHT = (((0, 2, 3, 1),), (_HEADS_FIRST, (0, 2, 1)), (_HEADS_FIRST, (0, 1, 3, 2)))


@dataclass(frozen=True)
class Linear:
    """Tokens times a constant matrix, plus a constant.

    Attributes:
        tokens: tensor, float (batch, token, dim).
        weights: float64 (dim, width).
        bias: float64 (width,).
    """

    tokens: str
    weights: DoubleArray
    bias: DoubleArray


@dataclass(frozen=True)
class Attention:
    """One self-attention: softmax(scale * query key^T) value, projected.

    Attributes:
        query, key, value: of the same tokens; each width is heads * head_dim.
        project: of what the heads mix; its `tokens` is that tensor.
        output: tensor after the projection, float (batch, token, dim).
        heads: number of them.
        scale: that scores are multiplied by.
    """

    query: Linear
    key: Linear
    value: Linear
    project: Linear
    output: str
    heads: int
    scale: float

    @property
    def tokens(self) -> str:
        """The tensor that it attends to."""
        return self.key.tokens

    @property
    def dim(self) -> int:
        """Width of a token."""
        return int(self.query.weights.shape[0])

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return int(self.query.weights.shape[1]) // self.heads


@dataclass(frozen=True)
class _Walk:
    """From a factor of a product back to its projection: what happened on the way."""

    linear: Linear
    turns: tuple[tuple[int, ...], ...]
    heads: int
    scale: float


def find_attention(graph: Graph) -> list[Attention]:
    """Every self-attention of a graph, in the order they run."""
    found = (_read(graph, node) for node in graph.nodes if node.op_type == "Softmax")
    return [item for item in found if item is not None]


def _read(graph: Graph, softmax: onnx.NodeProto) -> Attention | None:
    """The attention around a softmax; None where it is none, or one of another form."""
    if attribute(softmax, "axis", -1) not in (-1, 3):
        return None
    scores, mixed = graph.made_by.get(softmax.input[0]), graph.only_user(softmax.output[0])
    if scores is None or mixed is None or (scores.op_type, mixed.op_type) != ("MatMul", "MatMul"):
        return None
    if mixed.input[0] != softmax.output[0]:
        return None
    query, key, value = (_walk(graph, name) for name in (*scores.input, mixed.input[1]))
    out = _way_out(graph, mixed)
    if query is None or key is None or value is None or out is None:
        return None
    same = query.linear.tokens == key.linear.tokens == value.linear.tokens and query.heads == key.heads == value.heads
    forms = (query.turns, value.turns) == ((_HEADS_FIRST,), (_HEADS_FIRST,)) and key.turns in _KEYS_UPRIGHT
    width = query.linear.weights.shape[1]
    fits = width == key.linear.weights.shape[1] == value.linear.weights.shape[1] == out[0].weights.shape[0]
    if not (same and forms and fits and query.heads and width % query.heads == 0 and value.scale == 1):
        return None
    return Attention(
        query=query.linear,
        key=key.linear,
        value=value.linear,
        project=out[0],
        output=out[1],
        heads=query.heads,
        scale=query.scale * key.scale,
    )


def _walk(graph: Graph, tensor: str) -> _Walk | None:
    """Back through scaling, reshaping and transposing to the projection."""
    turns: list[tuple[int, ...]] = []
    heads, scale = 0, 1.0
    while True:
        node = graph.made_by.get(tensor)
        if node is None:
            return None
        if node.op_type == "Mul" and (factor := _scalar(graph, node.input[1])) is not None:
            scale *= factor
        elif node.op_type == "Transpose":
            turns.insert(0, tuple(attribute(node, "perm", ())))
        elif node.op_type == "Reshape":
            shape = graph.constants.get(node.input[1])
            heads = int(shape[2]) if shape is not None and len(shape) == 4 else heads
        else:
            linear = _linear(graph, node)
            return None if linear is None else _Walk(linear, tuple(turns), heads, scale)
        tensor = node.input[0]


def _way_out(graph: Graph, mixed: onnx.NodeProto) -> tuple[Linear, str] | None:
    """The projection after the heads are put side by side again, and the tensor that it gives."""
    tensor = mixed.output[0]
    for kind in ("Transpose", "Reshape", "MatMul", "Add"):
        node = graph.only_user(tensor)
        if node is None or node.op_type != kind:
            return None
        if kind == "Transpose" and tuple(attribute(node, "perm", ())) != _HEADS_FIRST:
            return None
        tensor = node.output[0]
    linear = _linear(graph, graph.made_by[tensor])
    return None if linear is None else (linear, tensor)


def _linear(graph: Graph, node: onnx.NodeProto) -> Linear | None:
    """A node that adds a constant vector to a product with a constant matrix."""
    if node.op_type != "Add":
        return None
    product, bias = graph.made_by.get(node.input[0]), graph.constants.get(node.input[1])
    if product is None or product.op_type != "MatMul" or bias is None or bias.ndim != 1:
        return None
    weights = graph.constants.get(product.input[1])
    if weights is None or weights.ndim != 2:
        return None
    return Linear(product.input[0], weights.astype(np.float64), bias.astype(np.float64))


def _scalar(graph: Graph, tensor: str) -> float | None:
    value = graph.constants.get(tensor)
    return float(value.reshape(())) if value is not None and value.size == 1 else None
