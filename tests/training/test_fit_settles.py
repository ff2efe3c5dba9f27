"""What a training settles before its first step: preset, epochs, precision, and what a tracker is told of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import InputError
from secondread.training.fit import architecture_for, epochs_for, preset_name, run_parameters
from secondread.training.trainer import precision_for


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


def test_bf16_that_a_gpu_only_emulates_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for has_instructions, expected in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True, computes=has_instructions: including_emulation or computes,
        )
        assert precision_for(TrainConfig(), cuda=True) == expected


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
