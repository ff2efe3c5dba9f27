"""Attention's own products in 8 bits: scores from queries and keys, and the mixture of values.

Only where all heads share keys and values (`export.graphs.fuse`): then each is one large product, and 8 bits pay.
Scores are taken to weights as `exp(score - greatest)`, which lie in (0, 1] whatever the image, so that 8 bits need no
calibration and a row of even weights keeps its detail; the sum divides at the end. The queries come in parts, so that
the scores of one stay in the processor's cache.

Tokens have 7 bits with sign, for the reason that weights have (`export.graphs.int8`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from secondread.errors import InputError
from secondread.export.graphs.graph import CONTRIB, Graph
from secondread.export.graphs.ranges import Range

_PART_ROWS = 1100  # queries whose scores are computed together: a megabyte for 257 tokens; fewer would cost more calls
_LEVELS, _SIGNED_LEVELS = 255, 64


@dataclass(frozen=True)
class ProductRanges:
    """What the 8 bits of one attention have to reach.

    Attributes:
        query: of the queries, scaled.
        tokens: of the tokens that are keys and values.
        rows: queries of one image, all heads together.
    """

    query: Range
    tokens: Range
    rows: int


def quantize_products(model: onnx.ModelProto, products: Mapping[str, ProductRanges]) -> onnx.ModelProto:
    """Put 8-bit products in the place of fused attention.

    Args:
        model: changed in place.
        products: name of the node to what its numbers reach.
    Raises:
        InputError: there is no such node, or its heads do not share keys and values.
    """
    graph = Graph(model)
    by_name = {node.name: node for node in graph.nodes}
    for name, item in products.items():
        node = by_name.get(name)
        if node is None or not shares_keys(node):
            raise InputError(f"{name} is no attention whose heads share keys and values.")
        _write(graph, node, item)
    return graph.finish()


def shares_keys(node: onnx.NodeProto) -> bool:
    """Whether a node is attention whose keys and values are the same tensor."""
    return node.op_type == "MultiHeadAttention" and len(node.input) == 3 and node.input[1] == node.input[2]


def _write(graph: Graph, node: onnx.NodeProto, item: ProductRanges) -> None:
    name, (query, tokens) = node.output[0], node.input[:2]
    query_scale = (item.query.high - item.query.low) / _LEVELS
    tokens_scale = max(item.tokens.high, -item.tokens.low) / _SIGNED_LEVELS
    zero = round(-item.query.low / query_scale)
    scales = {"query": query_scale, "tokens": tokens_scale, "weights": 1 / _LEVELS}
    scale = {key: graph.constant(f"{name}_{key}_scale", np.array(value, np.float32)) for key, value in scales.items()}
    query_zero = graph.constant(f"{name}_query_zero", np.array(zero, np.uint8))
    no_zero, signed_zero = (
        graph.constant("zero_u8", np.array(0, np.uint8)),
        graph.constant("zero_s8", np.array(0, np.int8)),
    )
    last = graph.constant("last_axis", np.array([-1]))

    asked = graph.add("QuantizeLinear", [query, scale["query"], query_zero], f"{name}_query_u8")
    values = graph.add("QuantizeLinear", [tokens, scale["tokens"], signed_zero], f"{name}_tokens_s8")
    keys = graph.add("Transpose", [values], f"{name}_keys_s8", perm=[0, 2, 1])
    mixed = []
    for number, part in enumerate(_parts(graph, asked, item.rows)):
        stem = f"{name}_{number}"
        scores = graph.add(
            "MatMulIntegerToFloat",
            [part, keys, scale["query"], scale["tokens"], query_zero, signed_zero],
            f"{stem}_scores",
            domain=CONTRIB,
        )
        greatest = graph.add("ReduceMax", [scores, last], f"{stem}_greatest", keepdims=1)
        below = graph.add("Sub", [scores, greatest], f"{stem}_below")
        weights = graph.add("Exp", [below], f"{stem}_weights")
        total = graph.add("ReduceSum", [weights, last], f"{stem}_total", keepdims=1)
        coarse = graph.add("QuantizeLinear", [weights, scale["weights"], no_zero], f"{stem}_weights_u8")
        mixture = graph.add(
            "MatMulIntegerToFloat",
            [coarse, values, scale["weights"], scale["tokens"], no_zero, signed_zero],
            f"{stem}_mixture",
            domain=CONTRIB,
        )
        mixed.append(graph.add("Div", [mixture, total], f"{stem}_mixed"))
    graph.add("Concat", mixed, name, axis=1)


def _parts(graph: Graph, asked: str, rows: int) -> list[str]:
    """The queries in parts of about the same size."""
    count = max(1, math.ceil(rows / _PART_ROWS))
    if count == 1:
        return [asked]
    sizes = np.array([len(part) for part in np.array_split(np.arange(rows), count)])
    names = [f"{asked}_{number}" for number in range(count)]
    split = graph.constant(f"rows_{rows}", sizes)
    graph.add("Split", [asked, split], names[0], more=names[1:], axis=1)
    return names
