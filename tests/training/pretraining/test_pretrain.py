"""From a train split and a folder of pictures to weights to start from."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.config.pretrain import PretrainConfig
from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError, InputError, IntegrityError, StoppedError
from secondread.training.pretraining.folder import PRETRAINED_FILE, read_pretrained
from secondread.training.pretraining.masked import MaskedImages
from secondread.training.pretraining.pretrain import pretrain
from secondread.training.train import train

QUICK = PretrainConfig(preset="vit-test-32", image_presentations=1500, batch_size=16, learning_rate=3e-3, threads=1)


def test_the_network_learns_to_draw_what_is_hidden(dataset: DatasetVersion, tmp_path: Path) -> None:
    result = pretrain(dataset, tmp_path / "weights", QUICK)
    assert result.images == sum(dataset.counts["train"].values())
    assert result.losses[-1] < 0.97 * result.losses[0]

    pretrained = read_pretrained(tmp_path / "weights")
    weights = pretrained.weights
    assert pretrained.document["dataset_version"] == dataset.content_hash
    assert "stem.0.weight" in weights
    assert not [name for name in weights if name.startswith("head.")]


def test_the_same_seed_gives_the_same_weights(dataset: DatasetVersion, tmp_path: Path) -> None:
    config = PretrainConfig(preset="vit-test-32", image_presentations=200, batch_size=16, threads=1)
    for name in ("a", "b"):
        pretrain(dataset, tmp_path / name, config)
    first, second = (read_pretrained(tmp_path / name).weights for name in ("a", "b"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_one_that_is_asked_to_end_says_so_and_leaves_nothing(
    dataset: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MaskedImages, "on_train_epoch_end", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(StoppedError, match=r"pre-training was stopped\. The same command, run again, begins anew"):
        pretrain(dataset, tmp_path / "weights", QUICK)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "told", "message"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory."),
            DependencyError,
            r"16 images a step\. Set pretrain\.batch_size=8,",
        ),
        (MemoryError(), DependencyError, r"16 images a step\. Set pretrain\.batch_size=8,"),
        (RuntimeError("shapes differ"), RuntimeError, "shapes differ"),
    ],
)
def test_too_little_memory_says_what_to_set(
    dataset: DatasetVersion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    told: type[Exception],
    message: str,
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(MaskedImages, "training_step", broken)
    with pytest.raises(told, match=message):
        pretrain(dataset, tmp_path / "weights", QUICK)
    assert not list(tmp_path.iterdir())


def test_other_pictures_join_but_for_those_that_are_judged_later(
    dataset: DatasetVersion, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "films" / "of any name"
    folder.mkdir(parents=True)
    Image.fromarray(dataset.split("val").images[0, 0]).save(folder / "judged.png")
    Image.effect_noise((40, 40), 60).save(folder / "new.png")
    (folder / "broken.png").write_bytes(b"\x89PNG nothing")
    config = PretrainConfig(preset="vit-test-32", image_presentations=100, batch_size=16, threads=1)
    with caplog.at_level(logging.WARNING):
        result = pretrain(dataset, tmp_path / "weights", config, unlabelled=[str(tmp_path / "films")])
    assert result.images == sum(dataset.counts["train"].values()) + 1
    assert "left out 1 images that are in val, test or final_eval" in caplog.text
    assert "left out 1 of 3 images, which cannot be read" in caplog.text


def test_a_place_without_pictures_is_refused(dataset: DatasetVersion, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        pretrain(dataset, tmp_path / "weights", QUICK, unlabelled=[str(tmp_path / "empty")])
    assert not (tmp_path / "weights").exists()


def test_damaged_weights_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / PRETRAINED_FILE).write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(IntegrityError, match=r"model\.safetensors is damaged"):
        read_pretrained(tmp_path)


def test_a_training_starts_from_what_was_learned(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    pretrain(dataset, tmp_path / "weights", QUICK)
    config = quick(learning_rate=1e-9, epochs=1)  # so that the weights stay what they were
    model = train(dataset, tmp_path / "model", config, start=tmp_path / "weights").model
    before = read_pretrained(tmp_path / "weights").weights
    after = load_file(model.root / "model.safetensors")
    assert torch.allclose(before["stem.0.weight"], after["stem.0.weight"], atol=1e-6)
    assert set(after) - set(before) == {"head.weight", "head.bias"}
    with pytest.raises(InputError, match="not of preset vit-64 for images of 32 pixels"):
        train(dataset, tmp_path / "other", quick(preset="vit-64"), start=tmp_path / "weights")


def test_the_command_says_what_it_learned_from(dataset: DatasetVersion, tmp_path: Path) -> None:
    settings = ["preset=vit-test-32", "image_presentations=50", "batch_size=16", "threads=1"]
    arguments = ["train", "pretrain", "--data", str(dataset.root), "--output", str(tmp_path / "weights")]
    done = CliRunner().invoke(app, [*arguments, *(f"--set=pretrain.{item}" for item in settings), "--json"])
    assert done.exit_code == 0, done.output
    assert f'"images": {sum(dataset.counts["train"].values())}' in done.stdout


def test_it_stops_in_the_step_whose_gradient_is_no_number(
    dataset: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = MaskedImages.forward, count()

    def poisoned(module: MaskedImages, images: Tensor, hidden: Tensor) -> Tensor:
        drawn = real(module, images, hidden)
        return drawn + (0 * drawn.sum()).sqrt() if next(calls) == 2 else drawn  # adds 0, which has no slope

    monkeypatch.setattr(MaskedImages, "forward", poisoned)
    with pytest.raises(InputError, match=r"norm of the gradient is nan in epoch 1, step 3\. Lower pretrain\.learning"):
        pretrain(dataset, tmp_path / "weights", QUICK)
    assert not list(tmp_path.iterdir())
