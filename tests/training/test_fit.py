"""A training learns, is the same for the same seed, and stops with a sentence when it goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.data.ingest import ingest
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.errors import InputError
from secondread.training.batches import Share
from secondread.training.fit import Fitted, architecture_for, epochs_for, fit, run_parameters
from secondread.training.trainer import precision_for


class Notes:
    """A tracker that keeps what it is told."""

    run_id = "notes"

    def __init__(self) -> None:
        self.metrics: list[tuple[int, Mapping[str, float]]] = []
        self.files: dict[str, bytes] = {}
        self.watched: list[bool] = []

    def log_params(self, params: Mapping[str, object]) -> None:  # noqa: ARG002
        raise AssertionError("parameters are written by whoever opened the run")

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.metrics.append((step, metrics))

    def log_folder(self, path: Path) -> None:  # noqa: ARG002
        raise AssertionError("the folder is written by whoever opened the run")

    def log_file(self, name: str, content: bytes) -> None:
        self.files[name] = content

    def watch_system(self) -> None:
        self.watched.append(True)

    def rest(self) -> None:
        self.watched.append(False)

    def confirm(self) -> None:
        raise AssertionError("whoever opened the run waits for it")


def train_alone(dataset: DatasetVersion, config: TrainConfig, tracker: Notes | None = None) -> Fitted:
    return fit(dataset, config, share=Share(), tracker=tracker)


def test_it_learns_keeps_the_best_epoch_and_tells_the_tracker(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig]
) -> None:
    notes = Notes()
    threads = torch.get_num_threads()
    fitted = train_alone(dataset, quick(epochs=8), notes)
    losses = [figures.val_loss for figures in fitted.epochs]
    assert losses[-1] < 0.7 * losses[0]
    assert fitted.epochs[-1].train_loss < fitted.epochs[0].train_loss
    assert fitted.best_epoch == losses.index(min(losses)) + 1
    assert max(figures.val_accuracy for figures in fitted.epochs) > 0.8
    assert [step for step, _ in notes.metrics] == list(range(1, 9))
    expected = {"train_loss", "val_loss", "val_accuracy", "learning_rate", "images_per_second"}
    assert all(expected <= set(metrics) for _, metrics in notes.metrics)
    assert torch.get_num_threads() == threads


def test_speed_counts_the_images_that_were_trained_on(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(perf_counter=count().__next__)  # every epoch takes a second
    monkeypatch.setattr("secondread.training.epochs.time", clock)
    images = len(dataset.split("train").labels)
    size = images // 2 + 1  # the second batch is not full, so it waits for the next epoch
    fitted = train_alone(dataset, quick(epochs=2, batch_size=size))
    assert [figures.images_per_second for figures in fitted.epochs] == [size, size]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_same_seed_gives_the_same_bits(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], precision: str
) -> None:
    config = quick(precision=precision, mixup_alpha=0.2)
    first = train_alone(dataset, config)
    torch.rand(100)  # whatever ran before must not matter
    second = train_alone(dataset, config)
    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    assert [figures.val_loss for figures in first.epochs] == [figures.val_loss for figures in second.epochs]
    other = train_alone(dataset, replace(config, seed=1))
    assert not torch.equal(first.state["head.weight"], other.state["head.weight"])


def test_a_loss_that_is_no_number_stops_with_a_way_out(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig]
) -> None:
    with pytest.raises(InputError, match=r"the loss is nan in epoch \d, step \d+\. Lower learning_rate \(now 1e\+18\)"):
        train_alone(dataset, quick(learning_rate=1e18, precision="32-true", warmup_share=0.0))


def test_a_handful_of_retinal_scans_can_be_trained_on(
    shared_data: Path, tmp_path: Path, quick: Callable[..., TrainConfig]
) -> None:
    source = IngestConfig(source=str(shared_data / "oct-samples"), public_ids=True)
    ingest(source, tmp_path / "ingested")
    version = write_dataset_version(tmp_path / "ingested", tmp_path / "dataset", PreprocessConfig(image_size=32))
    fitted = train_alone(version, quick(epochs=1, batch_size=64))
    assert len(fitted.epochs) == 1


def test_the_number_of_epochs_follows_from_the_number_of_images() -> None:
    config = TrainConfig(image_presentations=20_000, min_epochs=5)
    assert epochs_for(1_000, config) == 20
    assert epochs_for(100_000, config) == 5
    assert epochs_for(1_000, replace(config, epochs=3)) == 3


def test_bf16_is_chosen_where_the_processor_computes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for capabilities, expected in (
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16-mixed"),
        ({"amx_bf16": True}, "bf16-mixed"),
        ({"avx2": True}, "32-true"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert precision_for(TrainConfig(), cuda=False) == expected
    assert precision_for(TrainConfig(precision="32-true"), cuda=False) == "32-true"


def test_a_tracker_learns_recipe_architecture_and_data(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig]
) -> None:
    parameters = run_parameters(dataset, quick(epochs=4))
    assert parameters["epochs"] == 4
    assert parameters["dataset_version"] == dataset.content_hash
    assert parameters["architecture.classes"] == 3


def test_an_unknown_preset_is_refused(dataset: DatasetVersion, quick: Callable[..., TrainConfig]) -> None:
    with pytest.raises(InputError, match=r"no preset 'resnet-18'\. Choose one of vit-small"):
        architecture_for(dataset, quick(preset="resnet-18"))
