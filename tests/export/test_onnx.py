"""The served graph: its contract, and the same numbers from torch and onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from secondread.errors import InputError
from secondread.export.onnx import ExplainingGraph, ServedGraph, export_onnx
from secondread.model.out_of_distribution import Axes, Probe, Scale, Strangeness
from secondread.model.session import GraphSession
from secondread.model.vit import PRESETS, ViT

TEMPERATURE, POWER = 1.7, 1.4
CONFIG = PRESETS["vit-64"].fit_to(image_size=48, classes=5)


@pytest.fixture(scope="module")
def served() -> ServedGraph:
    """A network whose BatchNorm and weights are not those of the start."""
    torch.manual_seed(0)
    model = ViT(CONFIG).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        model.head.weight.mul_(5)
        for _ in range(3):
            model(torch.rand(8, 1, 48, 48))
    model.eval()
    return ServedGraph(model, temperature=TEMPERATURE, margin_power=POWER, strangeness=strangeness_of(model))


def strangeness_of(model: ViT) -> Strangeness:
    """Numbers of no meaning, as many as the model describes an image with."""
    random = np.random.default_rng(0)
    features = model.describe(torch.zeros(1, 1, 48, 48))[1].shape[1]
    directions = np.linalg.qr(random.normal(size=(features, 5)))[0].astype(np.float32)
    axes = Axes(random.random(features).astype(np.float32), np.ones(features, np.float32), directions)
    probe = Probe(random.normal(size=features).astype(np.float32) / features, 0.3)
    return Strangeness(axes, probe, Scale(np.float32([0.2, 0.1]), np.float32([0.9, 0.6])))


@pytest.fixture(scope="module")
def graph_file(served: ServedGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "fp32.onnx"
    export_onnx(served, path)
    return path


@pytest.fixture(scope="module")
def explain_file(served: ServedGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explain") / "explain.onnx"
    export_onnx(ExplainingGraph(served), path)
    return path


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 1, 48, 48), dtype=np.uint8)


def test_input_and_outputs_are_those_of_the_contract(graph_file: Path) -> None:
    session = onnxruntime.InferenceSession(str(graph_file), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape) == ("pixels", "tensor(uint8)", ["batch", 1, 48, 48])
    outputs = [(output.name, output.type, output.shape) for output in session.get_outputs()]
    assert outputs == [
        ("probabilities", "tensor(float)", ["batch", 5]),
        ("embedding", "tensor(float)", ["batch", CONFIG.dim]),
        ("ood_score", "tensor(float)", ["batch"]),
    ]


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_torch_and_onnxruntime_agree(served: ServedGraph, graph_file: Path, batch: int) -> None:
    images = pixels(batch)
    with torch.inference_mode():
        expected = served(torch.from_numpy(images))
    outputs = GraphSession(graph_file, threads=1).run(images)
    for ours, theirs in zip(expected, (outputs.probabilities, outputs.embedding, outputs.ood_score), strict=True):
        np.testing.assert_allclose(theirs, ours.numpy(), atol=1e-4, rtol=0)


def test_normalisation_scaling_and_score_are_inside(served: ServedGraph, graph_file: Path) -> None:
    images = pixels(6)
    outputs = GraphSession(graph_file, threads=1).run(images)
    with torch.inference_mode():
        prediction, description = served.model.describe(torch.from_numpy(images).float() / 255)
    logits = prediction.logits.numpy().astype(np.float64)
    scaled = -(((logits.max(axis=1, keepdims=True) - logits) / TEMPERATURE) ** POWER)
    chances = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs.probabilities, chances, atol=1e-5)
    assert outputs.probabilities.std() > 0.05
    parts = {name: value.numpy().astype(np.float64) for name, value in served.strangeness.named_buffers()}
    standard = (description.numpy() - parts["mean"]) / parts["spread"]
    residual = standard - standard @ parts["directions"] @ parts["directions"].T
    answers = np.stack([np.sqrt((residual**2).mean(axis=1)), standard @ parts["weights"] + parts["bias"]], axis=1)
    expected = ((answers - parts["usual"]) / (parts["strange"] - parts["usual"])).max(axis=1)
    np.testing.assert_allclose(outputs.ood_score, expected, atol=1e-4)


def test_the_file_is_whole_and_says_nothing_of_the_machine_that_wrote_it(graph_file: Path) -> None:
    model = onnx.load(graph_file, load_external_data=False)
    assert [file.name for file in graph_file.parent.iterdir()] == [graph_file.name]
    assert all(tensor.data_location != onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)
    text = graph_file.read_bytes()
    for origin in (b"site-packages", b"vit.py", str(Path.cwd()).encode()):
        assert origin not in text


def test_nodes_are_not_bound_to_a_processor_and_shapes_can_be_inferred(graph_file: Path) -> None:
    """Quantization infers shapes first, and stops where noted ones differ."""
    model = onnx.load(graph_file)
    assert {node.domain for node in model.graph.node} == {""}
    onnx.shape_inference.infer_shapes(model, strict_mode=True, check_type=True)


def test_the_same_weights_give_the_same_bytes(served: ServedGraph, graph_file: Path, tmp_path: Path) -> None:
    export_onnx(served, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == graph_file.read_bytes()


def test_the_graph_that_explains_has_a_map_as_one_more_output(explain_file: Path) -> None:
    session = onnxruntime.InferenceSession(str(explain_file), providers=["CPUExecutionProvider"])
    assert [(given.name, given.type, given.shape) for given in session.get_inputs()] == [
        ("pixels", "tensor(uint8)", ["batch", 1, 48, 48])
    ]
    names = [output.name for output in session.get_outputs()]
    assert names == ["probabilities", "embedding", "ood_score", "saliency"]
    last = session.get_outputs()[-1]
    assert (last.type, last.shape) == ("tensor(float)", ["batch", 48, 48])


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_the_graph_that_explains_answers_as_the_fast_one(
    served: ServedGraph, graph_file: Path, explain_file: Path, batch: int
) -> None:
    images = pixels(batch)
    fast = GraphSession(graph_file, threads=1).run(images)
    found = GraphSession(explain_file, threads=1).explain(images)
    for name in ("probabilities", "embedding", "ood_score"):
        np.testing.assert_allclose(getattr(found.outputs, name), getattr(fast, name), atol=1e-5, rtol=0, err_msg=name)
    with torch.inference_mode():
        expected = ExplainingGraph(served)(torch.from_numpy(images))[-1]
    np.testing.assert_allclose(found.saliency, expected.numpy(), atol=1e-4, rtol=0)
    assert found.saliency.min() == 0
    np.testing.assert_allclose(found.saliency.max(axis=(1, 2)), 1, rtol=1e-6)


def test_an_image_has_the_same_map_whatever_it_is_asked_with(explain_file: Path) -> None:
    images, session = pixels(5), GraphSession(explain_file, threads=1)
    together = session.explain(images, batch_size=5).saliency
    np.testing.assert_allclose(session.explain(images, batch_size=2).saliency, together, atol=1e-5)


def test_the_graph_that_explains_holds_the_weights_once(graph_file: Path, explain_file: Path) -> None:
    assert explain_file.stat().st_size < 1.05 * graph_file.stat().st_size
    model = onnx.load(explain_file)
    assert {node.domain for node in model.graph.node} == {""}
    assert str(Path.cwd()).encode() not in explain_file.read_bytes()


def test_a_temperature_of_zero_is_refused(served: ServedGraph) -> None:
    with pytest.raises(InputError, match="above 0"):
        ServedGraph(served.model, temperature=0.0, strangeness=served.strangeness)
    with pytest.raises(InputError, match="margin power is 0"):
        ServedGraph(served.model, temperature=1.0, margin_power=0.0, strangeness=served.strangeness)
