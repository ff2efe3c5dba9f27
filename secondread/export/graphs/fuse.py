"""Rewrites the exported graph so that it computes the same with less: attention as one operator, and no unused token.

Three changes, each exact but for rounding:

- Attention becomes onnxruntime's `MultiHeadAttention`, which never writes the scores of all tokens to memory (Dao et
  al. 2022, arXiv:2205.14135; onnxruntime's kernel for CPUs, pull request 20805).
- Where heads are as wide as tokens or wider, a head's query and key matrices are multiplied into one, and so are its
  value and output matrices: `(x Q + q) (x K + k)^T` is `(x Q K^T + q K^T) x^T` plus terms that are the same for all
  keys and that softmax takes away; and since attention's weights sum to 1, `softmax(s) (x V + v) O` is
  `softmax(s) x (V O) + v O`. All heads then share keys and values, which are the tokens themselves: half the weights,
  half the arithmetic of projections, no transposes, and one head with as many queries as all of them had.
- The class is read off the first token, so behind the last attention the others are not computed.

The operator is onnxruntime's own (`com.microsoft`): it is what serves the graph, in Triton as here. Nothing depends on
the processor: a build without the fast kernel computes the same, slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import shape_inference

from secondread.atomic import atomic_file
from secondread.export.graphs.attention import Attention, find_attention
from secondread.export.graphs.graph import CONTRIB, Graph

# Operators that treat every token alike, so that one token's result needs that token alone; Add and Mul of tokens too.
_BY_TOKEN = ("Add", "Mul", "MatMul", "Gelu", "LayerNormalization")
FUSED = "MultiHeadAttention"


@dataclass(frozen=True)
class Fusion:
    """What was rewritten.

    Attributes:
        attentions: that became one operator each.
        shared: of them, those whose heads share keys and values.
        first_token: whether the others are left out behind the last attention.
    """

    attentions: int
    shared: int
    first_token: bool


def fuse(fp32: Path, output: Path) -> Fusion:
    """Write the graph with its attention fused.

    Args:
        fp32: the served graph, as exported.
        output: file to write; it is not written where there is no attention of the form that is looked for.
    Returns:
        What was done: 0 attentions where nothing was.
    """
    model = onnx.load(fp32)
    graph = Graph(model)
    attentions = find_attention(graph)
    if not attentions:
        return Fusion(0, 0, first_token=False)
    lengths = _lengths(model)
    shared = [is_shared(item, lengths.get(item.tokens, 0)) for item in attentions]
    for number, (item, share) in enumerate(zip(attentions, shared, strict=True)):
        _write(graph, item, f"attention_{number}", query=item.tokens, output=item.output, shared=share)
    first = _keep_first_token(graph, attentions[-1], f"attention_{len(attentions) - 1}", shared=shared[-1])
    written = graph.finish()
    with atomic_file(output) as aside:
        aside.write_bytes(written.SerializeToString())
    return Fusion(len(attentions), sum(shared), first_token=first)


def is_shared(item: Attention, length: int) -> bool:
    """Whether sharing keys and values takes fewer multiplications.

    Args:
        item: the attention.
        length: tokens.
    """
    apart = 4 * item.head_dim * item.dim + 2 * length * item.head_dim
    together = 2 * item.dim * item.dim + 2 * length * item.dim
    return together < apart


def _lengths(model: onnx.ModelProto) -> dict[str, int]:
    """Tokens of each tensor (batch, token, dim) whose number is known."""
    inferred = shape_inference.infer_shapes(model)
    shapes = {item.name: item.type.tensor_type.shape.dim for item in inferred.graph.value_info}
    return {name: int(dims[1].dim_value) for name, dims in shapes.items() if len(dims) == 3}


def _write(graph: Graph, item: Attention, name: str, *, query: str, output: str, shared: bool) -> None:
    """Write one attention.

    Args:
        graph: to add to.
        item: what to compute.
        name: that new tensors begin with.
        query: tensor of the tokens that ask.
        output: tensor to make.
        shared: heads share keys and values.
    """
    mixed = _shared_heads(graph, item, name, query) if shared else _separate_heads(graph, item, name, query)
    # in the order of `_fold`, so that both kinds end alike
    weights, bias = _fold(item)[2:] if shared else (item.project.weights, item.project.bias)
    stem = name.removesuffix("_first")
    product = graph.add("MatMul", [mixed, _float(graph, f"{stem}_project", weights)], f"{name}_projected")
    graph.add("Add", [product, _float(graph, f"{stem}_project_bias", bias)], output)


def _shared_heads(graph: Graph, item: Attention, name: str, query: str) -> str:
    """All heads' queries one after another against the tokens themselves: (batch, token * head, dim)."""
    weights, bias = _fold(item)[:2]
    stem = name.removesuffix("_first")
    rows = graph.constant(f"{stem}_rows", np.array([0, -1, item.dim]))
    back = graph.constant(f"{stem}_heads", np.array([0, -1, item.heads * item.dim]))
    product = graph.add("MatMul", [query, _float(graph, f"{stem}_query", weights)], f"{name}_asked")
    asked = graph.add("Add", [product, _float(graph, f"{stem}_query_bias", bias)], f"{name}_asked_bias")
    flat = graph.add("Reshape", [asked, rows], f"{name}_query_rows")
    mixed = graph.add(FUSED, [flat, item.tokens, item.tokens], f"{name}_mixed", domain=CONTRIB, num_heads=1, scale=1.0)
    return graph.add("Reshape", [mixed, back], f"{name}_mixed_heads")


def _separate_heads(graph: Graph, item: Attention, name: str, query: str) -> str:
    """Heads with keys and values of their own; the operator adds the biases while it sorts by head."""
    stem = name.removesuffix("_first")
    products = [
        graph.add("MatMul", [source, _float(graph, f"{stem}_{kind}", linear.weights)], f"{name}_{kind}_product")
        for kind, linear, source in (
            ("query", item.query, query),
            ("key", item.key, item.tokens),
            ("value", item.value, item.tokens),
        )
    ]
    bias = np.concatenate([linear.bias for linear in (item.query, item.key, item.value)])
    inputs = [*products, _float(graph, f"{stem}_bias", bias)]
    return graph.add(FUSED, inputs, f"{name}_mixed", domain=CONTRIB, num_heads=item.heads, scale=item.scale)


def _fold(item: Attention) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Query with key, and value with output, multiplied: weights and bias of each, float64."""
    heads, dim, width = item.heads, item.dim, item.head_dim
    query, key, value = (linear.weights.reshape(dim, heads, width) for linear in (item.query, item.key, item.value))
    project = item.project.weights.reshape(heads, width, dim)
    asked = np.einsum("dhw,ehw->dhe", query, key) * item.scale
    asked_bias = np.einsum("hw,ehw->he", item.query.bias.reshape(heads, width), key) * item.scale
    answered = np.einsum("dhw,hwe->hde", value, project)
    bias = item.project.bias + item.value.bias @ item.project.weights
    return asked.reshape(dim, -1), asked_bias.reshape(-1), answered.reshape(-1, dim), bias


def _keep_first_token(graph: Graph, last: Attention, name: str, *, shared: bool) -> bool:
    """Compute behind the last attention what the first token needs; False where something else is needed too."""
    needed = graph.ancestors(last.tokens)
    picks = [node for node in graph.nodes if node.op_type == "Gather" and _picks_first(graph, node)]
    picks = [node for node in picks if last.output in graph.ancestors(node.input[0])]
    if len(picks) != 1 or not _by_token(graph, picks[0].input[0], last.output, needed):
        return False
    made: dict[str, str] = {}

    def first(tensor: str) -> str:
        """The tensor's first token, float (batch, 1, dim)."""
        if tensor in made:
            return made[tensor]
        node, result = graph.made_by.get(tensor), f"{tensor}_first"
        made[tensor] = result
        if tensor == last.output:
            _write(graph, last, f"{name}_first", query=first(last.tokens), output=result, shared=shared)
        elif tensor in needed or node is None:
            ends = [graph.constant(f"first_token_{key}", np.array([value])) for key, value in _FIRST_TOKEN.items()]
            graph.add("Slice", [tensor, *ends], result)
        else:
            inputs = [each if each in graph.constants else first(each) for each in node.input]
            graph.copy(node, inputs, result)
        return result

    picks[0].input[0] = first(picks[0].input[0])
    return True


_FIRST_TOKEN = {"start": 0, "end": 1, "axis": 1}


def _picks_first(graph: Graph, node: onnx.NodeProto) -> bool:
    index = graph.constants.get(node.input[1])
    axis = next((item.i for item in node.attribute if item.name == "axis"), 0)
    return index is not None and index.ndim == 0 and int(index) == 0 and axis == 1


def _by_token(graph: Graph, tensor: str, attended: str, needed: set[str]) -> bool:
    """Whether everything between the attention and a tensor treats every token alike."""
    if tensor == attended or tensor in needed:
        return True
    node = graph.made_by.get(tensor)
    if node is None or node.op_type not in _BY_TOKEN or len(node.output) != 1:
        return False
    # a constant of one axis is added to every token; a matrix may only stand on a product's right
    constants = [(place, graph.constants[each]) for place, each in enumerate(node.input) if each in graph.constants]
    if any(value.ndim > 1 and (node.op_type, place) != ("MatMul", 1) for place, value in constants):
        return False
    rest = [each for each in node.input if each not in graph.constants]
    return bool(rest) and all(_by_token(graph, each, attended, needed) for each in rest)


def _float(graph: Graph, name: str, values: np.ndarray) -> str:
    return graph.constant(name, values.astype(np.float32))
