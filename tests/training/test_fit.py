"""A training learns, is the same for the same seed, and stops with a sentence when it goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.data.ingest import ingest
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.errors import DependencyError
from secondread.model.vit import ViT
from secondread.training.batches import Share
from secondread.training.fit import Fitted, architecture_for, fit
from secondread.training.module import Classifier
from secondread.training.trainer import TrainerParts


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


def test_a_step_in_parts_is_the_same_step(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the order of sums, once batch normalisation uses fixed means and variances."""

    def fixed(module: Classifier) -> None:
        for layer in module.model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.eval()

    monkeypatch.setattr(Classifier, "on_train_epoch_end", fixed, raising=False)
    monkeypatch.setattr(Classifier, "on_train_start", fixed, raising=False)
    recipe = {"batch_size": 16, "learning_rate": 1e-3, "precision": "32-true", "epochs": 1, "mixup_alpha": 0.2}
    whole, parts = (train_alone(dataset, quick(**recipe, accumulate=count)) for count in (1, 4))
    assert parts.epochs[0].train_loss == pytest.approx(whole.epochs[0].train_loss, rel=1e-4)
    for name, tensor in whole.state.items():
        torch.testing.assert_close(parts.state[name], tensor, rtol=1e-3, atol=1e-4)


class Layouts(Callback):
    """Sees how the weights of convolutions lie in memory while a training goes on."""

    def __init__(self) -> None:
        self.channels_last: set[bool] = set()

    def on_train_batch_end(self, trainer: object, pl_module: Classifier, *_: object) -> None:  # noqa: ARG002
        convolutions = (layer for layer in pl_module.model.modules() if isinstance(layer, torch.nn.Conv2d))
        for weight in (layer.weight for layer in convolutions):
            if weight.shape[1] > 1 and weight.shape[2] > 1:  # else both layouts are one
                self.channels_last.add(
                    weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
                )


def test_convolutions_are_trained_with_the_channels_last_in_memory(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig]
) -> None:
    layouts = Layouts()
    parts = TrainerParts(accelerator="cpu", callbacks=[layouts])
    fit(dataset, quick(epochs=1), share=Share(), tracker=None, parts=parts)
    assert layouts.channels_last == {True}


def test_without_a_better_loss_it_ends_early(dataset: DatasetVersion, quick: Callable[..., TrainConfig]) -> None:
    fitted = train_alone(dataset, quick(epochs=30, early_stopping_epochs=2, learning_rate=1.0))
    losses = [figures.val_loss for figures in fitted.epochs]
    assert len(losses) == fitted.best_epoch + 2 < 30
    assert losses[fitted.best_epoch - 1] == min(losses)


def test_the_averaged_weights_are_judged_and_kept(dataset: DatasetVersion, quick: Callable[..., TrainConfig]) -> None:
    fitted = train_alone(dataset, quick(epochs=3, ema_decay=0.9))
    model = ViT(architecture_for(dataset, quick()))
    model.load_state_dict(fitted.state)
    val = dataset.split("val")
    with torch.inference_mode():
        logits = model.eval()(torch.from_numpy(np.array(val.images)).float() / 255).logits
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(val.labels))
    assert float(loss) == pytest.approx(fitted.epochs[fitted.best_epoch - 1].val_loss, rel=1e-3)


@pytest.mark.full
@pytest.mark.filterwarnings(
    "ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"
)  # torch's own, of itself
def test_a_compiled_network_learns_as_one_that_is_not(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig]
) -> None:
    from torch._dynamo.utils import counters

    plain = train_alone(dataset, quick(precision="32-true"))
    counters.clear()
    compiled = train_alone(dataset, quick(precision="32-true", compile=True))
    assert counters["stats"]["unique_graphs"] > 0
    assert [epoch.val_loss for epoch in compiled.epochs] == pytest.approx(
        [epoch.val_loss for epoch in plain.epochs], rel=1e-3
    )


def test_without_a_compiler_it_says_so(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor.exc import InductorError

    def broken(*_: object) -> None:
        raise InductorError(RuntimeError("No working C++ compiler found\nat length"), None)

    monkeypatch.setattr(torch.nn.Module, "compile", lambda _: None)
    monkeypatch.setattr(Classifier, "training_step", broken)
    with pytest.raises(DependencyError, match=r"No working C\+\+ compiler found.*train\.compile=false"):
        train_alone(dataset, quick(compile=True))


def test_a_handful_of_retinal_scans_can_be_trained_on(
    shared_data: Path, tmp_path: Path, quick: Callable[..., TrainConfig]
) -> None:
    source = IngestConfig(source=str(shared_data / "oct-samples"), public_ids=True)
    ingest(source, tmp_path / "ingested")
    version = write_dataset_version(tmp_path / "ingested", tmp_path / "dataset", PreprocessConfig(image_size=32))
    fitted = train_alone(version, quick(epochs=1, batch_size=64))
    assert len(fitted.epochs) == 1
