"""The candidates of a graph: which are written, what is left out with a word on why, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from secondread.config.quantize import QuantizeConfig
from secondread.export.graphs.int8 import activations, find_layers, prepare
from secondread.export.graphs.ranges import observe, ranges
from secondread.export.graphs.sensitive import layer_errors
from secondread.export.quantization.candidates import write_candidates
from secondread.model.session import GraphSession

CONFIG = QuantizeConfig(threads=1)
SHARED = {"dim": 16, "heads": 20, "head_dim": 16}


def test_every_candidate_is_a_graph_that_answers(
    transformer: Callable[..., Path], noise: np.ndarray, tmp_path: Path
) -> None:
    plain = transformer(tmp_path / "fp32.onnx", **SHARED)
    found = write_candidates(plain, noise, tmp_path, replace(CONFIG, agreement=0, probability_change=1))
    names = list(found.graphs)
    assert names[:6] == ["fp32", "fused", "dynamic", "static-minmax", "static-entropy", "static-percentile"]
    assert names[6].endswith("-attention")
    assert names[7:] == ["fp16"]
    assert found.notes == ()
    assert found.in_float == ()
    expected = GraphSession(plain, threads=1).run(noise).probabilities
    for name in ("fused", "dynamic", "static-minmax", names[6], "fp16"):
        probabilities = GraphSession(found.graphs[name], threads=1).run(noise).probabilities
        np.testing.assert_allclose(probabilities, expected, atol=1e-5 if name == "fused" else 0.05, err_msg=name)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-3)


def test_a_graph_of_another_form_is_quantized_without_fused_attention(
    transformer: Callable[..., Path], noise: np.ndarray, tmp_path: Path
) -> None:
    plain = transformer(tmp_path / "fp32.onnx", **SHARED)
    model = onnx.load(plain)
    for node in model.graph.node:
        if node.op_type == "Softmax" and node.output[0] != "probabilities":
            node.attribute[0].i = 1
    onnx.save(model, plain)
    found = write_candidates(plain, noise, tmp_path, CONFIG)
    assert "fused" not in found.graphs
    assert found.notes == ("attention is not fused: fp32.onnx has none of the form that is looked for.",)
    assert not [name for name in found.graphs if "attention" in name]


def test_a_fused_graph_that_answers_otherwise_is_not_kept(
    transformer: Callable[..., Path], noise: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondread.export.graphs import fuse as module

    def wrong(*arguments: object) -> tuple[np.ndarray, ...]:
        query, bias, answer, rest = right(*arguments)
        return 2 * query, bias, answer, rest

    right = module._fold
    monkeypatch.setattr(module, "_fold", wrong)
    found = write_candidates(transformer(tmp_path / "fp32.onnx", **SHARED), noise, tmp_path, CONFIG)
    assert "fused" not in found.graphs
    assert "a probability would change by" in found.notes[0]


def test_layers_that_8_bits_hurt_stay_in_float_where_answers_change(
    transformer: Callable[..., Path], noise: np.ndarray, tmp_path: Path
) -> None:
    plain = outlier(transformer(tmp_path / "fp32.onnx", dim=32, heads=4, head_dim=8, depth=3))
    found = write_candidates(plain, noise, tmp_path, replace(CONFIG, agreement=1.0))
    assert found.in_float
    name = next(name for name in found.graphs if name.endswith("-mixed"))
    expected = GraphSession(plain, threads=1).run(noise)

    def change(graph: str) -> float:
        return float(
            np.abs(GraphSession(found.graphs[graph], threads=1).run(noise).embedding - expected.embedding).mean()
        )

    assert change(name) < 0.75 * change(name.removesuffix("-mixed"))


def test_the_layer_that_8_bits_hurt_most_comes_first(
    transformer: Callable[..., Path], noise: np.ndarray, tmp_path: Path
) -> None:
    plain = outlier(transformer(tmp_path / "fp32.onnx", dim=32, heads=4, head_dim=8, depth=1))
    prepared = tmp_path / "prepared.onnx"
    prepare(plain, prepared)
    layers = find_layers(prepared)
    seen = observe(prepared, activations(prepared, layers), noise, threads=1)
    errors = layer_errors(
        prepared,
        layers.weighted,
        noise,
        ranges=ranges(seen, "minmax", percentile=100),
        seen=seen,
        folder=tmp_path,
        threads=1,
    )
    assert [item.error for item in errors] == sorted((item.error for item in errors), reverse=True)
    by_name = {node.name: node for node in onnx.load(prepared).graph.node}
    # the one whose input reaches a thousand times further than what matters of it
    widest = max(layers.linear, key=lambda name: seen[by_name[name].input[0]].high)
    assert widest in errors[0].nodes
    assert errors[0].error > 3 * errors[1].error


def outlier(path: Path) -> Path:
    """Give the first linear layer's output one huge number that the next one ignores: 8 bits lose the others."""
    model = onnx.load(path)
    gelu = next(node for node in model.graph.node if node.op_type == "Gelu")
    made_by = {output: node for node in model.graph.node for output in node.output}
    bias = made_by[gelu.input[0]].input[1]
    weights = next(node.input[1] for node in model.graph.node if node.input[0] == gelu.output[0])
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, row, value in ((bias, 0, 3000.0), (weights, 0, 0.0)):
        values = numpy_helper.to_array(constants[name]).copy()
        values[row] = value
        constants[name].CopyFrom(numpy_helper.from_array(values, name))
    onnx.save(model, path)
    return path
