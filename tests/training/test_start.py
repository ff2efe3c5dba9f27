"""A training that begins with weights that were learned before, and says whose they are."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import InputError, IntegrityError
from secondread.tracking.runs import TrackingConfig
from secondread.training.pretraining.folder import Pretrained
from secondread.training.start import Start, open_start
from secondread.training.train import TrainResult, train

BARELY = {"epochs": 1, "learning_rate": 1e-9, "warmup_share": 0.0}


@pytest.fixture(scope="module")
def trained(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory
) -> TrainResult:
    return train(dataset, tmp_path_factory.mktemp("models") / "model", quick(epochs=1))


def card_of(result: TrainResult) -> str:
    return (result.model.root / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_a_training_starts_from_the_weights_of_a_model_of_the_same_classes_and_says_so(
    dataset: DatasetVersion,
    quick: Callable[..., TrainConfig],
    trained: TrainResult,
    mlflow_uri: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracking = TrackingConfig(mlflow_uri, "x", {})
    result = train(dataset, tmp_path / "model", quick(**BARELY), start=trained.model.root, tracking=tracking)
    before = load_file(trained.model.root / "model.safetensors")
    after = load_file(result.model.root / "model.safetensors")
    torch.testing.assert_close(after["head.weight"], before["head.weight"], atol=1e-6, rtol=0)

    known = f"began with the weights of a model that learned from dataset version `{dataset.content_hash}`"
    assert known in card_of(result)
    assert "too good" not in card_of(result) + caplog.text
    assert "began with random weights" in card_of(trained)
    parameters = MlflowClient(mlflow_uri).get_run(result.run_id).data.params
    assert parameters["start.dataset_version"] == dataset.content_hash


def test_weights_that_may_have_seen_what_is_held_out_are_named_in_the_log_and_in_the_card(
    dataset: DatasetVersion,
    other_dataset: DatasetVersion,
    quick: Callable[..., TrainConfig],
    trained: TrainResult,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        result = train(other_dataset, tmp_path / "model", quick(**BARELY), start=trained.model.root)
    (said,) = [record.getMessage() for record in caplog.records if "too good" in record.getMessage()]
    assert dataset.content_hash[:12] in said
    assert "neither this model's version nor its parent" in card_of(result)


def test_a_childs_held_out_images_are_unknown_to_the_parents_model_and_to_a_pre_training(
    dataset: DatasetVersion,
) -> None:
    child = replace(dataset, parent="a" * 64)
    assert not Start("weights", "a" * 64, labelled=True).may_have_seen(child)
    assert Start("weights", "b" * 64, labelled=True).may_have_seen(child)
    assert not Start("weights", "b" * 64, labelled=False).may_have_seen(child)


def test_a_start_of_another_preset_or_other_classes_is_refused(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], trained: TrainResult, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="not of preset vit-64 for images of 32 pixels"):
        train(dataset, tmp_path / "model", quick(preset="vit-64"), start=trained.model.root)
    other = tmp_path / "other"
    shutil.copytree(trained.model.root, other)
    document = json.loads((other / "config.json").read_text().replace("cxr-bright", "cxr-pale"))
    (other / "config.json").write_text(json.dumps(document))
    ours = "cxr-bright, cxr-dark, cxr-striped"
    with pytest.raises(InputError, match=rf"tells cxr-pale, cxr-dark, cxr-striped apart, the dataset .* has {ours}"):
        train(dataset, tmp_path / "model", quick(), start=other)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"contrast": "clahe"}, "contrast clahe"), ({"trim_borders": True}, "borders trimmed"), ({}, "")],
)
def test_weights_of_images_that_were_preprocessed_otherwise_are_taken_with_a_warning(
    dataset: DatasetVersion,
    quick: Callable[..., TrainConfig],
    trained: TrainResult,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, object],
    said: str,
) -> None:
    shutil.copytree(trained.model.root, tmp_path / "start")
    document = trained.model.config.to_dict()
    document["preprocessing"] |= change
    (tmp_path / "start" / "config.json").write_text(json.dumps(document))
    with caplog.at_level(logging.WARNING):
        assert open_start(tmp_path / "start", dataset, quick()) is not None
    warnings = [text for record in caplog.records if "look otherwise" in (text := record.getMessage())]
    assert [said in text for text in warnings] == [True] * bool(change)


def truncate(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-1])


def forget_a_tensor(weights: Path) -> None:
    save_file({name: tensor for name, tensor in load_file(weights).items() if name != "norm.weight"}, weights)


def widen_a_tensor(weights: Path) -> None:
    tensors = load_file(weights)
    save_file(tensors | {"norm.weight": torch.ones(2 * len(tensors["norm.weight"]))}, weights)


DAMAGE = {
    "missing": (Path.unlink, "is missing"),
    "cut off": (truncate, "is damaged"),
    "of fewer layers": (forget_a_tensor, "are not of the network that is described beside them"),
    "of another width": (widen_a_tensor, "are not of the network that is described beside them"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_weights_that_cannot_be_begun_with_are_named_before_anything_is_trained(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], trained: TrainResult, tmp_path: Path, damage: str
) -> None:
    harm, said = DAMAGE[damage]
    shutil.copytree(trained.model.root, tmp_path / "start")
    harm(tmp_path / "start" / "model.safetensors")
    with pytest.raises(IntegrityError, match=rf"start/model\.safetensors {said}.*Train or fetch the model again"):
        open_start(tmp_path / "start", dataset, quick())


def test_a_pre_training_is_begun_with_if_it_has_all_but_the_head(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], trained: TrainResult, tmp_path: Path
) -> None:
    tensors = load_file(trained.model.root / "model.safetensors")
    document = {
        "architecture": trained.model.config.architecture,
        "dataset_version": "a" * 64,
        "preprocessing": dataset.preprocessing.to_dict(),
    }
    Pretrained(document, {name: value for name, value in tensors.items() if "head." not in name}).write(tmp_path)
    assert open_start(tmp_path, dataset, quick()) is not None
    forget_a_tensor(tmp_path / "model.safetensors")
    with pytest.raises(IntegrityError, match=r"model\.safetensors are not of the network .* Pre-train again"):
        open_start(tmp_path, dataset, quick())
