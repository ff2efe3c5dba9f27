"""INT8 graphs: which layers are quantized, how, and what the 8-bit products of attention answer."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from secondread.errors import InputError
from secondread.export.graphs.fuse import fuse
from secondread.export.graphs.graph import CONTRIB
from secondread.export.graphs.int8 import activations, few_rows, find_layers, prepare, write_dynamic, write_static
from secondread.export.graphs.products import ProductRanges, quantize_products
from secondread.export.graphs.ranges import Range, observe, ranges
from secondread.model.session import INPUT, GraphSession

WIDE_HEADS = {"dim": 16, "heads": 20, "head_dim": 16}  # 160 queries of 8 tokens


@pytest.fixture
def prepared(transformer: Callable[..., Path], tmp_path: Path) -> Path:
    fuse(transformer(tmp_path / "plain.onnx", **WIDE_HEADS), tmp_path / "fused.onnx")
    prepare(tmp_path / "fused.onnx", tmp_path / "prepared.onnx")
    return tmp_path / "prepared.onnx"


def written(prepared: Path, noise: np.ndarray, *, attention: bool) -> Path:
    layers = find_layers(prepared)
    seen = observe(prepared, activations(prepared, layers), noise, threads=1)
    layers = few_rows(seen, prepared, layers)
    nodes = layers.weighted + (layers.attention if attention else ())
    output = prepared.with_name("static.onnx")
    write_static(prepared, output, nodes, ranges=ranges(seen, "minmax", percentile=100), seen=seen)
    return output


def test_only_constant_weights_on_the_way_to_the_embedding_are_quantized(prepared: Path) -> None:
    layers = find_layers(prepared)
    by_name = {node.name: node for node in onnx.load(prepared).graph.node}
    # rows to tokens, and two blocks of query, output and two feed-forward layers
    assert len(layers.linear) == 1 + 2 * 4
    assert layers.convolutions == ()
    assert len(layers.attention) == 2
    scores = {node.name for node in by_name.values() if "embedding" in node.input}
    assert scores
    assert not scores & set(layers.weighted)


def test_weights_have_7_bits_and_a_scale_for_each_channel(prepared: Path, noise: np.ndarray) -> None:
    graph = onnx.load(written(prepared, noise, attention=False)).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    count = 0
    for node in graph.node:
        source = made_by.get(node.input[1]) if node.op_type == "MatMul" else None
        if source is None or source.op_type != "DequantizeLinear":
            continue
        weight, scale = constants[source.input[0]], constants[source.input[1]]
        count += 1
        assert weight.dtype == np.int8
        assert np.abs(weight).max() <= 64  # pairs of products must fit in 16 bits where there is no VNNI
        assert scale.size == weight.shape[1]
        # what comes in is quantized too, behind an operator of onnxruntime's own as well
        assert made_by[node.input[0]].op_type == "DequantizeLinear"
    assert count == 1 + 2 * 4


@pytest.mark.parametrize("attention", [False, True])
def test_a_static_graph_answers_like_the_float_one(prepared: Path, noise: np.ndarray, attention: bool) -> None:
    expected = GraphSession(prepared, threads=1).run(noise)
    found = GraphSession(written(prepared, noise, attention=attention), threads=1).run(noise)
    assert expected.probabilities.std() > 0.05
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=0.04)
    assert not np.array_equal(found.embedding, expected.embedding)


def test_a_dynamic_graph_answers_like_the_float_one(prepared: Path, noise: np.ndarray) -> None:
    write_dynamic(prepared, prepared.with_name("dynamic.onnx"), find_layers(prepared))
    found = GraphSession(prepared.with_name("dynamic.onnx"), threads=1).run(noise).probabilities
    np.testing.assert_allclose(found, GraphSession(prepared, threads=1).run(noise).probabilities, atol=0.04)


def test_attention_of_one_token_stays_in_float(prepared: Path, noise: np.ndarray) -> None:
    graph = onnx.load(written(prepared, noise, attention=True)).graph
    # the first block's is in 8 bits; the last one asks for the first token only
    assert [node.op_type for node in graph.node].count("MultiHeadAttention") == 1
    assert [node.op_type for node in graph.node].count("MatMulIntegerToFloat") == 2


# Attention's own products, against numpy


def attention_graph(path: Path, *, rows: int, keys: int, dim: int) -> Path:
    """Queries cut from the image's first rows, keys and values all of them, as floats about 0."""
    size = max(rows, keys)
    constants = {
        "one": np.array(32, np.float32),
        "middle": np.array(128, np.float32),
        "flat": np.array([0, size, dim]),
        "start": np.array([0]),
        "query_end": np.array([rows]),
        "keys_end": np.array([keys]),
        "axis": np.array([1]),
    }
    nodes = [
        helper.make_node("Cast", [INPUT], ["grey"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["grey", "middle"], ["centred"]),
        helper.make_node("Div", ["centred", "one"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "flat"], ["all"]),
        helper.make_node("Slice", ["all", "start", "query_end", "axis"], ["query"]),
        helper.make_node("Slice", ["all", "start", "keys_end", "axis"], ["tokens"]),
        helper.make_node(
            "MultiHeadAttention",
            ["query", "tokens", "tokens"],
            ["mixed"],
            name="attention",
            domain=CONTRIB,
            num_heads=1,
            scale=1.0,
        ),
        helper.make_node("ReduceMean", ["mixed", "axis"], ["embedding"], keepdims=0),
        helper.make_node("Softmax", ["embedding"], ["probabilities"], axis=1),
        helper.make_node("ReduceMax", ["embedding", "axis"], ["ood_score"], keepdims=0),
    ]
    shapes = {"probabilities": ["batch", dim], "embedding": ["batch", dim], "ood_score": ["batch"]}
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    outputs.append(helper.make_tensor_value_info("mixed", TensorProto.FLOAT, ["batch", rows, dim]))
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", 1, size, dim])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(CONTRIB, 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


@pytest.mark.parametrize(("rows", "keys", "parts"), [(40, 30, 1), (2500, 17, 3)])
@pytest.mark.parametrize("dim", [4, 12])
def test_8_bit_attention_agrees_with_numpy(tmp_path: Path, rows: int, keys: int, parts: int, dim: int) -> None:
    import onnxruntime

    path = attention_graph(tmp_path / "attention.onnx", rows=rows, keys=keys, dim=dim)
    image = np.random.default_rng(0).integers(64, 192, (3, 1, max(rows, keys), dim), dtype=np.uint8)
    numbers = (image[:, 0].astype(np.float64) - 128) / 32
    query, tokens = numbers[:, :rows], numbers[:, :keys]
    scores = query @ tokens.transpose(0, 2, 1)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    expected = weights @ tokens / weights.sum(axis=2, keepdims=True)
    reach = Range(-2.0, 2.0)
    model = quantize_products(onnx.load(path), {"attention": ProductRanges(reach, reach, rows)})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["mixed"], {INPUT: image})
    assert [node.op_type for node in model.graph.node].count("Exp") == parts
    assert expected.std() > 0.5
    # a token's step is 2 / 64; scores add up `dim` such errors
    np.testing.assert_allclose(found, expected, atol=0.35)
    assert np.sqrt(((found - expected) ** 2).mean()) < 0.05


def test_even_weights_of_many_tokens_keep_their_detail(tmp_path: Path) -> None:
    """A softmax over 1,000 tokens gives thousandths, which 8 bits of [0, 1] would round to 0."""
    import onnxruntime

    path = attention_graph(tmp_path / "attention.onnx", rows=8, keys=1000, dim=4)
    image = np.random.default_rng(0).integers(120, 136, (1, 1, 1000, 4), dtype=np.uint8)
    image[0, 0, :, 0] = np.linspace(160, 192, 1000)
    reach = Range(-2.0, 2.0)
    expected = onnxruntime.InferenceSession(str(path)).run(["mixed"], {INPUT: image})[0]
    model = quantize_products(onnx.load(path), {"attention": ProductRanges(reach, reach, 8)})
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(["mixed"], {INPUT: image})[0]
    assert expected[..., 0].mean() == pytest.approx(1.5, abs=0.3)
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_only_attention_with_shared_keys_has_8_bit_products(transformer: Callable[..., Path], tmp_path: Path) -> None:
    fuse(transformer(tmp_path / "plain.onnx", dim=32, heads=4, head_dim=8), tmp_path / "fused.onnx")
    prepare(tmp_path / "fused.onnx", tmp_path / "prepared.onnx")
    assert find_layers(tmp_path / "prepared.onnx").attention == ()
    model = onnx.load(tmp_path / "prepared.onnx")
    name = next(node.name for node in model.graph.node if node.op_type == "MultiHeadAttention")
    with pytest.raises(InputError, match="no attention whose heads share keys and values"):
        quantize_products(model, {name: ProductRanges(Range(-1, 1), Range(-1, 1), 8)})


def test_a_graph_without_linear_layers_cannot_be_quantized(tmp_path: Path) -> None:
    path = attention_graph(tmp_path / "attention.onnx", rows=8, keys=8, dim=4)
    with pytest.raises(InputError, match="there is nothing to quantize"):
        find_layers(path)
