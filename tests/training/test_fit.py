"""A training learns, is the same for the same seed, and stops with a sentence when it goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.data.ingest import ingest
from secondread.data.versions.dataset import DatasetVersion, SplitData
from secondread.data.versions.version import write_dataset_version
from secondread.errors import DependencyError, InputError
from secondread.model.vit import ViT
from secondread.training.batches import Share, TrainOrder
from secondread.training.fit import Fitted, architecture_for, epochs_for, fit, preset_name, run_parameters
from secondread.training.module import Classifier, smoothed_cross_entropy
from secondread.training.trainer import TrainerParts, precision_for


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


def images_of(dataset: DatasetVersion, config: TrainConfig, epoch: int, step: int) -> list[str]:
    """Of a batch; both counted from 0."""
    train = dataset.split("train")
    order = TrainOrder(len(train.labels), batch_size=config.batch_size, seed=config.seed, share=Share())
    named: list[str] = train.rows["image_id"].iloc[order.batch(epoch, step)].tolist()
    return named


def test_a_loss_that_is_no_number_stops_and_names_the_batch(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig]
) -> None:
    message = r"is (nan|inf) in epoch (\d+), step (\d+)\. Lower learning_rate \(now 1e\+18\), .* of the batch: (.*)\."
    config = quick(learning_rate=1e18, precision="32-true", warmup_share=0.0)
    with pytest.raises(InputError, match=message) as raised:
        train_alone(dataset, config)
    _, epoch, step, named = re.search(message, str(raised.value)).groups()
    assert int(epoch) == 1
    assert int(step) > 1  # the first one is what ruined the weights
    assert named.split(", ") == images_of(dataset, config, int(epoch) - 1, int(step) - 1)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_batch_whose_loss_is_a_number_and_whose_gradient_is_none_is_named_itself(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    config = quick(accumulate=accumulate)
    steps = len(dataset.split("train").labels) // config.batch_size
    losses = count()

    def poisoned(logits: torch.Tensor, *others: Any) -> torch.Tensor:
        loss = smoothed_cross_entropy(logits, *others)
        first_part = next(losses) == (steps + 4) * accumulate  # of the fifth step of the second epoch
        return loss + (0 * logits.sum()).sqrt() if first_part else loss  # adds 0, which has no slope

    monkeypatch.setattr("secondread.training.module.smoothed_cross_entropy", poisoned)
    named = ", ".join(images_of(dataset, config, 1, 4))
    message = (
        rf"the norm of the gradient is nan in epoch 2, step 5\. Lower .* look at the images of the batch: {named}\."
    )
    with pytest.raises(InputError, match=message):
        train_alone(dataset, config)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_too_little_memory_says_what_to_set(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(Classifier, "training_step", full)
    with pytest.raises(DependencyError, match=r"8 images a step.*train\.accumulate=2 .*train\.batch_size=4"):
        train_alone(dataset, quick())


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"batch_size": 64, "accumulate": 4}, r"Set train\.accumulate=8 .*, or train\.batch_size=32\.$"),
        (
            {"batch_size": 66, "strategy": "ddp", "accumulate": 8},
            r"Set train\.accumulate=16 .*, or train\.batch_size=33\.$",
        ),
        ({"batch_size": 3}, r"Set train\.batch_size=2\.$"),  # in two parts, one would be of one image
        (
            {"batch_size": 64, "strategy": "ddp", "accumulate": 16},
            r"smaller images, with a smaller preset or more memory",
        ),
        ({"batch_size": 2}, r"smaller images, with a smaller preset or more memory"),
    ],
)
def test_what_it_says_to_set_may_be_set(
    dataset: DatasetVersion,
    quick: Callable[..., TrainConfig],
    monkeypatch: pytest.MonkeyPatch,
    settings: Mapping[str, Any],
    advice: str,
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Classifier, "training_step", full)
    config = quick(**settings)
    with pytest.raises(DependencyError, match=advice) as told:
        train_alone(dataset, config)
    for name, value in re.findall(r"train\.(\w+)=(\d+)", str(told.value)):
        replace(config, **{name: int(value)})


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
    with pytest.raises(InputError, match=r"no preset 'resnet-18'\. Choose one of auto, vit-64"):
        architecture_for(dataset, quick(preset="resnet-18"))


@pytest.mark.parametrize(
    ("size", "preset"), [(28, "vit-64"), (64, "vit-64"), (80, "vit-96"), (128, "vit-96"), (512, "vit-224")]
)
def test_unless_one_is_named_the_preset_is_that_of_the_image_size(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], size: int, preset: str
) -> None:
    images = SimpleNamespace(image_size=size, taxonomy=dataset.taxonomy)
    assert preset_name(images, TrainConfig()) == preset
    assert architecture_for(images, quick(preset=preset)) == architecture_for(images, TrainConfig())


@pytest.mark.parametrize(("size", "preset"), [(30, "vit-test-32"), (100, "auto")])
def test_an_image_size_that_tokens_do_not_fill_is_refused(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], size: int, preset: str
) -> None:
    odd = SimpleNamespace(image_size=size, taxonomy=dataset.taxonomy)
    with pytest.raises(InputError, match=rf"images of {size} pixels are no multiple of the \d+ pixels .* or \d+, or"):
        architecture_for(odd, quick(preset=preset))


def test_classes_that_cannot_be_learned_are_refused(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = dataset.split("train")
    kept = whole.labels != 1
    few = SplitData(np.asarray(whole.images)[kept], whole.labels[kept], whole.rows[kept])
    with monkeypatch.context() as patch:
        patch.setattr(DatasetVersion, "split", lambda _, name: few if name == "train" else whole)
        with pytest.raises(InputError, match=r"class 'cxr-dark' has no image in the train split of .*Add images of it"):
            train_alone(dataset, quick())
    alone = replace(dataset, taxonomy=replace(dataset.taxonomy, classes=dataset.taxonomy.classes[:1]))
    monkeypatch.setattr(DatasetVersion, "split", lambda *_: few)
    with pytest.raises(InputError, match=r"has one class only \(cxr-bright\), so there is nothing to tell apart"):
        train_alone(alone, quick())
