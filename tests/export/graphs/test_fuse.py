"""Fused attention: the same answers from fewer operators, on every form of it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from secondread.export.graphs.fuse import Fusion, fuse
from secondread.model.session import GraphSession, Outputs

WIDE_HEADS = {"dim": 8, "heads": 3, "head_dim": 16}  # as wide as a token or wider: keys and values are shared
NARROW_HEADS = {"dim": 32, "heads": 4, "head_dim": 8}


def answers(path: Path, pixels: np.ndarray) -> Outputs:
    return GraphSession(path, threads=1).run(pixels)


def check_same(one: Path, other: Path, pixels: np.ndarray) -> None:
    for count in (1, 3, len(pixels)):
        expected, found = answers(one, pixels[:count]), answers(other, pixels[:count])
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
        np.testing.assert_allclose(found.embedding, expected.embedding, atol=1e-4)
        np.testing.assert_allclose(found.ood_score, expected.ood_score, atol=1e-6)


def kinds(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(("form", "shared"), [(WIDE_HEADS, True), (NARROW_HEADS, False)])
def test_the_fused_graph_gives_the_same_answers(
    transformer: Callable[..., Path], noise: np.ndarray, tmp_path: Path, form: dict[str, int], shared: bool, depth: int
) -> None:
    plain = transformer(tmp_path / "plain.onnx", **form, depth=depth)
    assert answers(plain, noise).probabilities.std() > 0.05
    assert fuse(plain, tmp_path / "fused.onnx") == Fusion(depth, depth if shared else 0, first_token=True)
    check_same(plain, tmp_path / "fused.onnx", noise)
    assert kinds(tmp_path / "fused.onnx")["MultiHeadAttention"] == depth


def test_shared_keys_and_values_leave_two_products_of_an_attention_and_half_its_weights(
    transformer: Callable[..., Path], tmp_path: Path
) -> None:
    plain = transformer(tmp_path / "plain.onnx", dim=16, heads=4, head_dim=16, depth=4)
    fuse(plain, tmp_path / "fused.onnx")
    before, after = kinds(plain), kinds(tmp_path / "fused.onnx")
    assert before["MatMul"] - after["MatMul"] == 4 * 4  # two projections and attention's own two products a block
    assert after["Transpose"] == 0
    attention = 4 * 16 * (4 * 16)

    def weights(path: Path) -> int:
        return sum(numpy_helper.to_array(tensor).size for tensor in onnx.load(path).graph.initializer)

    assert weights(plain) - weights(tmp_path / "fused.onnx") == pytest.approx(4 * attention / 2, rel=0.1)


def test_behind_the_last_attention_only_the_first_token_is_computed(
    transformer: Callable[..., Path], noise: np.ndarray, tmp_path: Path
) -> None:
    plain = transformer(tmp_path / "plain.onnx", **NARROW_HEADS)
    fuse(plain, tmp_path / "fused.onnx")
    model = onnx.load(tmp_path / "fused.onnx")
    hidden = [node.output[0] for node in model.graph.node if node.op_type == "Gelu"]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in hidden)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    shapes = [array.shape for array in session.run(hidden, {"pixels": noise[:5]})]
    assert shapes == [(5, 8, 64), (5, 1, 64)]


def test_where_the_class_is_read_off_all_tokens_all_are_computed(
    transformer: Callable[..., Path], noise: np.ndarray, tmp_path: Path
) -> None:
    plain = transformer(tmp_path / "plain.onnx", **WIDE_HEADS, pooled=True)
    assert fuse(plain, tmp_path / "fused.onnx") == Fusion(2, 2, first_token=False)
    check_same(plain, tmp_path / "fused.onnx", noise)


def test_the_contract_of_inputs_and_outputs_stays(transformer: Callable[..., Path], tmp_path: Path) -> None:
    plain = transformer(tmp_path / "plain.onnx", **WIDE_HEADS)
    fuse(plain, tmp_path / "fused.onnx")

    def contract(path: Path) -> list[tuple[str, str, list[object]]]:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return [(each.name, each.type, each.shape) for each in (*session.get_inputs(), *session.get_outputs())]

    assert contract(plain) == contract(tmp_path / "fused.onnx")


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        # softmax over heads is no attention
        ("Softmax", lambda node: node.attribute[0].__setattr__("i", 1)),
        # heads in another order than they are put together in
        ("Transpose", lambda node: node.attribute[0].ints.__setitem__(slice(None), [0, 1, 2, 3])),
    ],
)
def test_what_only_looks_like_attention_is_left_alone(
    transformer: Callable[..., Path], tmp_path: Path, kind: str, change: Callable[[onnx.NodeProto], None]
) -> None:
    plain = transformer(tmp_path / "plain.onnx", **WIDE_HEADS)
    model = onnx.load(plain)
    for node in model.graph.node:
        if node.op_type == kind and node.output[0] != "probabilities":
            change(node)
    onnx.save(model, plain)
    assert fuse(plain, tmp_path / "fused.onnx") == Fusion(0, 0, first_token=False)
    assert not (tmp_path / "fused.onnx").exists()


def test_scores_that_something_else_uses_are_left_alone(transformer: Callable[..., Path], tmp_path: Path) -> None:
    plain = transformer(tmp_path / "plain.onnx", **WIDE_HEADS, depth=1)
    model = onnx.load(plain)
    weights = next(node.output[0] for node in model.graph.node if node.op_type == "Softmax")
    model.graph.output.append(onnx.helper.make_tensor_value_info(weights, onnx.TensorProto.FLOAT, None))
    onnx.save(model, plain)
    assert fuse(plain, tmp_path / "fused.onnx").attentions == 0
