"""Quantizing a real model: what is written, what it answers, and what is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss
from torch.nn import functional

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.config.quantize import QuantizeConfig
from secondread.data.ingest import ingest
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.errors import InputError, IntegrityError
from secondread.evaluation.metrics.calibration import ece
from secondread.evaluation.reading_room.thresholds import choose_thresholds
from secondread.export.onnx import ServedGraph, export_onnx
from secondread.export.quantization import quantize as module
from secondread.export.quantization.latency import Latency
from secondread.export.quantization.quantize import quantize
from secondread.model.folder import (
    CARD_FILE,
    FP32_GRAPH,
    INT8_GRAPH,
    METRICS_FILE,
    REFERENCE_FILE,
    ModelConfigFile,
    ModelFolder,
    Thresholds,
)
from secondread.model.session import GraphSession, Outputs
from secondread.model.vit import ViT, ViTConfig
from secondread.training.out_of_distribution import fit_strangeness

QUICK = QuantizeConfig(calibration_images=32, timed_runs=3, threads=1, batch_sizes=(1, 8))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelFolder, DatasetVersion]:
    """A small classifier that tells films with a bright left half from those with a bright right half."""
    from PIL import Image

    root = tmp_path_factory.mktemp("quantize")
    rng = np.random.default_rng(0)
    for label, side in (("left", 0), ("right", 1)):
        (root / "films" / label).mkdir(parents=True)
        for number in range(60):
            pixels = rng.integers(0, 120, (40, 40))
            pixels[:, side * 20 : side * 20 + 20] += rng.integers(15, 90)
            Image.fromarray(pixels.astype(np.uint8)).save(root / "films" / label / f"{number}.png")
    ingest(IngestConfig(source=str(root / "films")), root / "ingested")
    dataset = write_dataset_version(root / "ingested", root / "dataset", PreprocessConfig(image_size=32))
    return _train(dataset, root / "model"), dataset


def _train(dataset: DatasetVersion, folder: Path) -> ModelFolder:
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=32,
        classes=2,
        stem_channels=(8, 16),
        stem_strides=(2, 2),
        dim=32,
        depth=2,
        heads=2,
        head_dim=16,
        mlp_dim=64,
    )
    model = ViT(config)
    data, val = dataset.split("train"), dataset.split("val")
    pixels, labels = torch.from_numpy(np.array(data.images)).float() / 255, torch.from_numpy(data.labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(30):
        loss = functional.cross_entropy(model(pixels).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    folder.mkdir()
    strangeness = fit_strangeness(model.eval(), data, val, seed=0)
    export_onnx(ServedGraph(model, temperature=1.0, strangeness=strangeness), folder / FP32_GRAPH)
    ModelConfigFile(
        name="sides",
        architecture=config.to_dict(),
        taxonomy=dataset.taxonomy,
        preprocessing=dataset.preprocessing,
        temperature=1.0,
        thresholds=Thresholds(abstain=0.5, out_of_distribution=2.0),
        dataset_version=dataset.content_hash,
        graph=FP32_GRAPH,
        synthetic=True,
        library_version="0.1.0",
    ).write(folder)
    outputs = GraphSession(folder / FP32_GRAPH, threads=1).run(val.images)
    pd.DataFrame(
        {
            "image_id": val.rows["image_id"].astype("string"),
            "label": val.rows["label"].astype("string"),
            "predicted": "unknown",
            "confidence": outputs.probabilities.max(axis=1),
            "ood_score": outputs.ood_score,
            "probabilities": list(outputs.probabilities),
            "embedding": list(outputs.embedding),
        }
    ).to_parquet(folder / REFERENCE_FILE)
    (folder / "_SUCCESS.json").write_text("{}", encoding="utf-8")
    return ModelFolder.open(folder)


FASTEST = ("static-minmax", "static-entropy", "static-percentile")


def fake_times(name: str) -> dict[int, Latency]:
    return dict.fromkeys((1, 8), Latency((TIMES.get(name, 8.0),) * 3))


TIMES = {"fp32": 10.0, "fused": 9.5, "static-minmax": 4.0, "fp16": 1.0}


@pytest.fixture
def int8_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether INT8 is faster depends on the machine; here it is."""
    monkeypatch.setattr(module, "time_graphs", lambda graphs, *_, **__: {name: fake_times(name) for name in graphs})


@pytest.fixture
def fp32_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = dict.fromkeys((1, 8), Latency((20.0,) * 3))
    monkeypatch.setattr(
        module,
        "time_graphs",
        lambda graphs, *_, **__: {name: fake_times(name) if name == "fp32" else slow for name in graphs},
    )


@pytest.fixture
def fused_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, slow = (dict.fromkeys((1, 8), Latency((time,) * 3)) for time in (5.0, 10.0))
    monkeypatch.setattr(
        module, "time_graphs", lambda graphs, *_, **__: {name: fast if name == "fused" else slow for name in graphs}
    )


def test_a_real_int8_graph_answers_like_fp32_and_is_smaller(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None
) -> None:
    model, dataset = trained
    result = quantize(model, dataset, tmp_path / "quantized", QUICK)
    fp32, *others = result.candidates
    assert fp32.accuracy > 0.9
    for item in others:
        assert item.parity.same_label > 0.95
        assert item.parity.probability_difference_max < 0.05
    assert result.choice.name == "static-minmax"
    assert result.chosen.size_bytes < fp32.size_bytes
    opened = ModelFolder.open(tmp_path / "quantized")
    assert opened.config == replace(model.config, graph=INT8_GRAPH)
    val = dataset.split("val")
    found = GraphSession(opened.graph_path()).run(val.images).probabilities
    expected = GraphSession(model.graph_path()).run(val.images).probabilities
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert not np.array_equal(found, expected)


def test_quantize_json_records_every_candidate(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None
) -> None:
    result = quantize(*trained, tmp_path / "quantized", QUICK)
    document = json.loads((tmp_path / "quantized" / "quantize.json").read_text(encoding="utf-8"))
    assert document == result.to_json()
    names = [item["name"] for item in document["candidates"]]
    assert names[:6] == ["fp32", "fused", "dynamic", *FASTEST]
    assert names[-1] == "fp16"
    assert document["chosen"] == "static-minmax"
    assert document["graph"] == INT8_GRAPH
    batch_dependence = {item["name"]: item["batch_dependence"] for item in document["candidates"]}
    # its ranges are those of the whole batch
    assert batch_dependence["dynamic"] > max(batch_dependence[name] for name in ("fp32", "fused", *FASTEST))
    assert document["n"] == len(trained[1].split("val").labels)
    assert document["calibration_images"] == 32
    assert document["machine"]["cpu"]
    assert document["candidates"][0]["latency"]["8"] == {
        "p50_ms": 10.0,
        "p99_ms": 10.0,
        "runs": 3,
    }
    table = result.table_markdown()
    assert "**static-minmax**" in table
    assert "4.00 / 4.00 (2.50x)" in table
    assert document["machine"]["cpu"] in table


def test_calibration_error_is_that_of_the_evaluation(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None
) -> None:
    result = quantize(*trained, tmp_path / "quantized", QUICK)
    val = trained[1].split("val")
    probabilities = GraphSession(trained[0].graph_path()).run(val.images).probabilities
    assert result.candidates[0].calibration_error == pytest.approx(ece(probabilities, val.labels), abs=1e-6)


def test_fp16_is_never_served_on_a_processor_and_chosen_apart_for_gpus(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None
) -> None:
    result = quantize(*trained, tmp_path / "quantized", QUICK)
    half = result.candidates[-1]
    assert half.name == "fp16"
    assert half.latency[1].p99_ms == min(item.latency[1].p99_ms for item in result.candidates)
    assert result.choice.name != "fp16"
    document = result.to_json()["gpu"]
    assert (document["chosen"], document["graph"]) == ("fp16", "fp16.onnx")
    assert "not measured" in document["reason"]
    graph = onnx.load(tmp_path / "quantized" / "fp16.onnx")
    kinds = {tensor.data_type for tensor in graph.graph.initializer if len(tensor.dims) > 1}
    assert onnx.TensorProto.FLOAT16 in kinds
    taken = graph.graph.input[0].type.tensor_type.elem_type
    given = {output.type.tensor_type.elem_type for output in graph.graph.output}
    assert (taken, given) == (onnx.TensorProto.UINT8, {onnx.TensorProto.FLOAT})


def test_for_gpus_fp16_is_served_with_thresholds_of_its_own_and_what_is_told_is_of_it(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None
) -> None:
    result = quantize(*trained, tmp_path / "quantized", replace(QUICK, target="gpu"))
    opened, val = ModelFolder.open(tmp_path / "quantized"), trained[1].split("val")
    assert result.choice.name == "fp16"
    assert (result.graph, opened.config.graph) == ("fp16.onnx", "fp16.onnx")
    document = json.loads((tmp_path / "quantized" / "quantize.json").read_text(encoding="utf-8"))
    assert (document["target"], document["graph"], document["cpu"]["graph"]) == ("gpu", "fp16.onnx", INT8_GRAPH)
    assert "For processors: static-minmax takes 4.00 ms" in result.table_markdown()
    found = GraphSession(opened.graph_path()).run(val.images)
    reference = pd.read_parquet(opened.root / REFERENCE_FILE)
    np.testing.assert_allclose(np.stack(reference["probabilities"]), found.probabilities, atol=1e-6)
    expected = GraphSession(trained[0].graph_path()).run(val.images)
    assert not np.array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(
        found.ood_score > opened.config.thresholds.out_of_distribution,
        expected.ood_score > trained[0].config.thresholds.out_of_distribution,
    )


def test_a_target_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="target must be cpu or gpu, not 'tpu'"):
        QuantizeConfig(target="tpu")


def test_the_fused_graph_is_served_where_it_alone_is_faster(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, fused_wins: None
) -> None:
    result = quantize(*trained, tmp_path / "quantized", QUICK)
    opened = ModelFolder.open(tmp_path / "quantized")
    assert result.choice.name == "fused"
    assert result.graph == opened.config.graph == "fused.onnx"
    assert not (opened.root / INT8_GRAPH).exists()


def test_a_graph_without_attention_is_quantized_and_the_page_says_why_nothing_is_fused(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondread.export.graphs.fuse.find_attention", lambda _: [])
    result = quantize(*trained, tmp_path / "quantized", QUICK)
    assert "fused" not in [item.name for item in result.candidates]
    assert result.notes == ("attention is not fused: fp32.onnx has none of the form that is looked for.",)
    assert "attention is not fused" in (tmp_path / "quantized" / "quantize.html").read_text(encoding="utf-8")


def test_a_damaged_train_split_is_refused_before_anything_is_written(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path
) -> None:
    model, dataset = trained
    shutil.copytree(dataset.root, tmp_path / "dataset")
    shard = next((tmp_path / "dataset").rglob("images-train.npy"))
    images = np.load(shard)
    np.save(shard, np.zeros_like(images))
    with pytest.raises(InputError, match="calibration images have one grey value"):
        quantize(model, DatasetVersion.open(tmp_path / "dataset"), tmp_path / "quantized", QUICK)
    assert not (tmp_path / "quantized").exists()


def test_a_graph_that_gives_no_numbers_is_left_out_and_said_to_be(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As 16 bits do where a sum in them overflows: the largest of no numbers is the first class, which may be right."""

    class Session(GraphSession):
        def __init__(self, path: Path, **rest: Any) -> None:
            super().__init__(path, **rest)
            self.factor = np.float32("nan" if path.stem == "fp16" else 1)

        def run(self, pixels: np.ndarray, **rest: Any) -> Outputs:
            found = super().run(pixels, **rest)
            return replace(found, probabilities=found.probabilities * self.factor)

    monkeypatch.setattr(module, "GraphSession", Session)
    result = quantize(*trained, tmp_path / "quantized", QUICK)
    assert "fp16" not in [item.name for item in result.candidates]
    assert result.notes == ("fp16 is left out: it gives figures that are no numbers.",)
    assert result.choices.gpu.name == "fp32"


def test_figures_and_card_are_those_of_the_graph_that_is_served(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None
) -> None:
    model, dataset = trained
    source = shutil.copytree(model.root, tmp_path / "model")
    (source / METRICS_FILE).write_text(json.dumps({"loss": 9.0, "accuracy": 0.0, "images": 24}), encoding="utf-8")
    (source / CARD_FILE).write_text("of fp32", encoding="utf-8")
    quantize(ModelFolder.open(source), dataset, tmp_path / "quantized", QUICK)
    val = dataset.split("val")
    found = GraphSession(tmp_path / "quantized" / INT8_GRAPH).run(val.images).probabilities
    metrics = json.loads((tmp_path / "quantized" / METRICS_FILE).read_text(encoding="utf-8"))
    assert metrics == {
        "loss": pytest.approx(log_loss(val.labels, found, labels=[0, 1]), abs=1e-6),
        "accuracy": (found.argmax(axis=1) == val.labels).mean(),
        "images": 24,
    }
    limit = ModelFolder.open(tmp_path / "quantized").config.thresholds.out_of_distribution
    assert f"{limit:.3g}" in (tmp_path / "quantized" / CARD_FILE).read_text(encoding="utf-8")


def test_what_is_quantized_is_not_quantized_again(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None
) -> None:
    quantize(*trained, tmp_path / "quantized", QUICK)
    with pytest.raises(InputError, match=r"is quantized already \(int8.onnx\): name the model that train wrote"):
        quantize(ModelFolder.open(tmp_path / "quantized"), trained[1], tmp_path / "again", QUICK)


def test_the_drift_reference_is_that_of_the_served_graph(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None
) -> None:
    model, dataset = trained
    before = pd.read_parquet(model.root / REFERENCE_FILE)
    quantize(model, dataset, tmp_path / "quantized", QUICK)
    frame = pd.read_parquet(tmp_path / "quantized" / REFERENCE_FILE)
    outputs = GraphSession(tmp_path / "quantized" / INT8_GRAPH).run(dataset.split("val").images)
    np.testing.assert_allclose(np.stack(frame["embedding"].tolist()), outputs.embedding, atol=1e-6)
    assert set(frame["predicted"]) <= set(dataset.taxonomy.names)
    assert list(frame.columns) == list(before.columns)
    assert list(frame["label"]) == list(before["label"])


def test_the_thresholds_are_those_of_the_served_graph(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None
) -> None:
    """It turns away as large a share of val as fp32 did, by its own scores."""
    model, dataset = trained
    images = dataset.split("val").images
    scored = GraphSession(model.graph_path()).run(images).ood_score
    given = replace(model.config, thresholds=Thresholds(0.5, float(np.quantile(scored, 0.8)), sensitivity=0.8))
    shutil.copytree(model.root, tmp_path / "model")
    given.write(tmp_path / "model")
    result = quantize(ModelFolder.open(tmp_path / "model"), dataset, tmp_path / "quantized", QUICK)
    assert result.graph == INT8_GRAPH
    served = GraphSession(tmp_path / "quantized" / INT8_GRAPH).run(images)
    found = ModelFolder.open(tmp_path / "quantized").config.thresholds
    assert found.out_of_distribution != given.thresholds.out_of_distribution
    assert (served.ood_score > found.out_of_distribution).sum() == (scored > given.thresholds.out_of_distribution).sum()
    names, val = dataset.taxonomy.names, dataset.split("val")
    groups = val.rows["group_id"].to_numpy(dtype=object)
    assert found.by_class == choose_thresholds(served.probabilities, val.labels, groups, names, sensitivity=0.8)


def test_a_reference_of_other_images_is_refused(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None
) -> None:
    model, dataset = trained
    shutil.copytree(model.root, tmp_path / "model")
    frame = pd.read_parquet(model.root / REFERENCE_FILE)
    frame.iloc[1:].to_parquet(tmp_path / "model" / REFERENCE_FILE)
    with pytest.raises(IntegrityError, match="does not list the val images"):
        quantize(ModelFolder.open(tmp_path / "model"), dataset, tmp_path / "quantized", QUICK)
    assert not (tmp_path / "quantized").exists()


def test_where_nothing_is_faster_fp32_stays_and_no_other_graph_for_processors_is_written(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, fp32_wins: None
) -> None:
    model, dataset = trained
    result = quantize(model, dataset, tmp_path / "quantized", QUICK)
    opened = ModelFolder.open(tmp_path / "quantized")
    assert result.graph == opened.config.graph == FP32_GRAPH
    assert "fp32 is kept" in result.reason
    assert sorted(path.name for path in opened.root.iterdir()) == [
        "config.json",
        "fp16.onnx",
        FP32_GRAPH,
        "quantize.html",
        "quantize.json",
        REFERENCE_FILE,
    ]
    assert opened.graph_path().read_bytes() == model.graph_path().read_bytes()
    assert opened.digest() == model.digest()
    assert (opened.root / REFERENCE_FILE).read_bytes() == (model.root / REFERENCE_FILE).read_bytes()


def test_the_graph_that_explains_is_kept(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None, explaining_graph: Path
) -> None:
    model, dataset = trained
    shutil.copytree(model.root, tmp_path / "model")
    shutil.copyfile(explaining_graph, tmp_path / "model" / "explain.onnx")
    quantize(ModelFolder.open(tmp_path / "model"), dataset, tmp_path / "quantized", QUICK)
    kept = ModelFolder.open(tmp_path / "quantized").explain_path()
    assert kept is not None
    assert kept.read_bytes() == explaining_graph.read_bytes()


def test_a_failure_leaves_no_folder(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, int8_wins: None
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(module, "write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        quantize(*trained, tmp_path / "quantized", QUICK)
    assert list(tmp_path.iterdir()) == []


def test_another_dataset_version_is_refused(
    trained: tuple[ModelFolder, DatasetVersion], films: Callable[..., Path], tmp_path: Path
) -> None:
    ingest(IngestConfig(source=str(films(left=10, right=10))), tmp_path / "ingested")
    other = write_dataset_version(tmp_path / "ingested", tmp_path / "dataset", PreprocessConfig(image_size=16))
    with pytest.raises(InputError, match="is not the one that model 'sides' was trained on"):
        quantize(trained[0], other, tmp_path / "quantized", QUICK)


def test_the_page_stands_alone_and_shows_every_graph(
    trained: tuple[ModelFolder, DatasetVersion], tmp_path: Path, int8_wins: None
) -> None:
    result = quantize(*trained, tmp_path / "quantized", QUICK)
    page = (tmp_path / "quantized" / "quantize.html").read_text(encoding="utf-8")
    for item in result.candidates:
        assert item.name in page
    assert "<svg" in page
    assert result.machine.cpu in page
    assert "SYNTHETIC IMAGES" in page
    assert "http" not in page.replace("http-equiv", "")
