"""The model folder that a training leaves: whole, honest and in agreement with itself, or not there at all."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, roc_auc_score

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError, IntegrityError
from secondread.model.folder import ModelFolder
from secondread.model.session import GraphSession
from secondread.model.training_record import TrainingRecord
from secondread.model.vit import ViT, ViTConfig
from secondread.training import train as module
from secondread.training.module import Classifier
from secondread.training.train import TrainResult, train


@pytest.fixture(scope="module")
def trained(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory
) -> TrainResult:
    return train(
        dataset,
        tmp_path_factory.mktemp("models") / "model",
        quick(epochs=6, name="patterns", audit_images=180, explain=True),
    )


def test_the_folder_has_every_file_and_nothing_lies_beside_it(trained: TrainResult) -> None:
    root = trained.model.root
    expected = {"MODEL_CARD.md", "config.json", "metrics.json", "training.json"}
    expected |= {"explain.onnx", "fp32.onnx", "model.safetensors", "reference.parquet"}
    assert {path.name for path in root.iterdir()} == expected
    assert [path.name for path in root.parent.iterdir()] == ["model"]


def test_the_weights_make_the_graph(trained: TrainResult, dataset: DatasetVersion) -> None:
    """Built again from config.json and model.safetensors, torch answers as the graph does."""
    config = ModelFolder.open(trained.model.root).config
    model = ViT(ViTConfig.from_dict(config.architecture))
    model.load_state_dict(load_file(trained.model.root / "model.safetensors"))
    model.eval()
    images = dataset.split("test").images[:8]
    with torch.inference_mode():
        logits = model(torch.from_numpy(np.array(images)).float() / 255).logits
    outputs = GraphSession(trained.model.graph_path(), threads=1).run(images)
    margins = (logits.amax(dim=1, keepdim=True) - logits) / config.temperature
    expected = torch.softmax(-(margins**config.margin_power), dim=1).numpy()
    np.testing.assert_allclose(outputs.probabilities, expected, atol=1e-4)


def test_the_graph_that_explains_answers_as_the_served_one(trained: TrainResult, dataset: DatasetVersion) -> None:
    images = dataset.split("test").images[:8]
    explain = trained.model.explain_path()
    assert explain is not None
    found = GraphSession(explain, threads=1).explain(images)
    served = GraphSession(trained.model.graph_path(), threads=1).run(images)
    np.testing.assert_allclose(found.outputs.probabilities, served.probabilities, atol=1e-5)
    assert found.saliency.shape == (8, 32, 32)


def test_the_metrics_are_those_of_the_graph_on_val(trained: TrainResult, dataset: DatasetVersion) -> None:
    val = dataset.split("val")
    probabilities = GraphSession(trained.model.graph_path(), threads=1).run(val.images).probabilities
    metrics = json.loads((trained.model.root / "metrics.json").read_text())
    assert metrics == trained.metrics
    assert metrics["accuracy"] == pytest.approx(accuracy_score(val.labels, probabilities.argmax(axis=1)))
    area = roc_auc_score(val.labels, probabilities, multi_class="ovr")
    assert metrics["auroc_macro"] == pytest.approx(area)
    assert metrics["images"] == len(val.labels)
    assert metrics["epochs"] == 6
    assert metrics["seconds"] > 0
    assert metrics["images_per_second"] > 0
    config = trained.model.config
    assert (metrics["temperature"], metrics["margin_power"]) == (config.temperature, config.margin_power)


def test_the_reference_is_val_and_the_thresholds_are_its_quantiles(
    trained: TrainResult, dataset: DatasetVersion
) -> None:
    reference = pd.read_parquet(trained.model.root / "reference.parquet")
    val = dataset.split("val")
    assert reference["image_id"].tolist() == val.rows["image_id"].tolist()
    assert reference["label"].tolist() == val.rows["label"].tolist()
    assert np.stack(reference["embedding"]).shape == (len(val.labels), 16)
    assert not {"patient_id", "group_id", "path"} & set(reference.columns)
    thresholds = trained.model.config.thresholds
    turned_away = int((reference["ood_score"] > thresholds.out_of_distribution).sum())
    assert turned_away == math.ceil(0.05 * (len(reference) - 1)), "neither none of them nor more than one in twenty"
    assert thresholds.abstain == pytest.approx(np.quantile(reference["confidence"], 0.10))


def test_each_class_with_images_enough_has_a_threshold_that_finds_9_in_10(
    trained: TrainResult, dataset: DatasetVersion
) -> None:
    reference = pd.read_parquet(trained.model.root / "reference.parquet")
    thresholds, names = trained.model.config.thresholds, list(dataset.taxonomy.names)
    counts = reference["label"].value_counts()
    assert thresholds.sensitivity == 0.9
    assert set(thresholds.by_class) == {name for name in names if counts[name] >= 9}  # fewer promise no 9 in 10
    for name, threshold in thresholds.by_class.items():
        scores = np.stack(reference["probabilities"])[:, names.index(name)]
        assert (scores[reference["label"] == name] >= threshold).mean() >= 0.9


def test_an_image_of_another_kind_scores_farther_away(trained: TrainResult, dataset: DatasetVersion) -> None:
    strange = np.zeros((4, 1, 32, 32), np.uint8)
    strange[:, :, ::2, ::2] = 255
    session = GraphSession(trained.model.graph_path(), threads=1)
    own = session.run(dataset.split("test").images).ood_score
    assert np.median(session.run(strange).ood_score) > np.median(own)


def test_the_config_says_what_a_server_needs(trained: TrainResult, dataset: DatasetVersion) -> None:
    config = trained.model.config
    assert config.name == "patterns"
    assert config.taxonomy == dataset.taxonomy
    assert config.preprocessing == dataset.preprocessing
    assert config.dataset_version == dataset.content_hash
    assert config.graph == "fp32.onnx"
    assert config.synthetic is False


def test_the_card_tells_counts_figures_and_limits(trained: TrainResult, dataset: DatasetVersion) -> None:
    card = (trained.model.root / "MODEL_CARD.md").read_text()
    counts = dataset.counts
    assert (
        f"| {counts['train']['cxr-bright']} | {counts['val']['cxr-bright']} | {counts['test']['cxr-bright']} |" in card
    )
    assert f"| accuracy | {trained.metrics['accuracy']:.4g} |" in card
    assert "No medical device" in card
    assert "synthetic" not in card.lower()


def test_what_an_evaluation_needs_for_its_card_is_with_the_model(trained: TrainResult, dataset: DatasetVersion) -> None:
    record = TrainingRecord.read(trained.model.root)
    assert record is not None
    assert (record.dataset_version, record.counts) == (dataset.content_hash, dataset.counts)
    assert (record.preset, record.epochs, record.processes, record.start) == ("vit-test-32", 6, 1, None)
    assert record.best_epoch == trained.metrics["best_epoch"]
    assert sum(source.images for source in record.sources) == 180
    assert record.audit is not None
    assert {"border_pixels", "corners"} <= {item.name for item in record.audit.shortcuts}


def test_a_failure_spares_what_was_there_and_the_next_run_need_not_train_again(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("disk full")

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with monkeypatch.context() as patch:
        patch.setattr(module, "export_onnx", broken)
        with pytest.raises(OSError, match="disk full"):
            train(dataset, tmp_path / "model", quick(epochs=1))
    assert (tmp_path / "model" / "config.json").read_text() == "{}"
    monkeypatch.setattr(Classifier, "training_step", broken)
    result = train(dataset, tmp_path / "model", quick(epochs=1))
    assert result.metrics["epochs"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_output_that_is_full_is_named_and_not_the_storage(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "move", lambda *_: Path("/dev/full").write_text("a byte"))
    with pytest.raises(DependencyError, match=r"no room is left for .*/model\. Free space and start the run again"):
        train(dataset, tmp_path / "model", quick(epochs=1, storage=str(tmp_path / "storage")))


def test_memory_that_runs_out_after_the_training_costs_none_of_it(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(module, "export_onnx", full)
        advice = r"Free some, or set train\.explain=false, and start the run again: it goes on from there"
        with pytest.raises(DependencyError, match=advice):
            train(dataset, tmp_path / "model", quick(epochs=1, explain=True))
    monkeypatch.setattr(Classifier, "training_step", full)
    result = train(dataset, tmp_path / "model", quick(epochs=1, explain=False))  # as it was advised to
    assert result.model.explain_path() is None


@pytest.mark.parametrize("storage", ["", "volume"])
def test_a_fault_of_the_volume_after_the_training_costs_none_of_it(
    dataset: DatasetVersion,
    quick: Callable[..., TrainConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    storage: str,
) -> None:
    def damaged(*_: object) -> None:
        raise IntegrityError("train.npy is damaged.")

    config = quick(epochs=1, storage=str(tmp_path / storage) if storage else "")
    with monkeypatch.context() as patch:
        patch.setattr(module, "export_onnx", damaged)
        with pytest.raises(IntegrityError):
            train(dataset, tmp_path / "model", config)
    monkeypatch.setattr(Classifier, "training_step", damaged)
    assert train(dataset, tmp_path / "model", config).metrics["epochs"] == 1


def test_a_run_that_was_cut_in_its_last_moment_leaves_no_file_that_the_next_would_not_write(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = shutil.move

    def move_and_end(source: Path, target: Path) -> None:
        move(source, target)
        if target.name == "explain.onnx":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "move", move_and_end)
        with pytest.raises(KeyboardInterrupt):
            train(dataset, tmp_path / "model", quick(epochs=1, explain=True))
    train(dataset, tmp_path / "model", quick(epochs=1, explain=False))
    assert not (tmp_path / "model" / "explain.onnx").exists()
