"""What is hidden, and what is to be drawn in its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from secondread.config.pretrain import PretrainConfig
from secondread.errors import InputError
from secondread.model.vit import PRESETS
from secondread.training.pretraining.masked import MaskedImages, cell_targets

TEST = replace(PRESETS["vit-test-32"], image_size=32)


def module(**settings: object) -> MaskedImages:
    return MaskedImages(TEST, PretrainConfig(**settings))  # type: ignore[arg-type]


def test_as_many_cells_of_each_image_are_hidden_but_not_the_same() -> None:
    hidden = module(masked_share=0.6).masks(50)
    assert hidden.shape == (50, TEST.grid**2)
    assert set(hidden.sum(dim=1).tolist()) == {round(0.6 * TEST.grid**2)}
    assert len({tuple(row.tolist()) for row in hidden}) == 50


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_something_is_hidden_and_something_is_left(share: float) -> None:
    count = int(module(masked_share=share).masks(1).sum())
    assert 0 < count < TEST.grid**2


def test_targets_are_each_cells_pixels_less_their_mean_over_their_spread() -> None:
    images = np.random.default_rng(0).random((2, 1, 8, 8)).astype(np.float32)
    targets = cell_targets(torch.from_numpy(images), 4).numpy()
    for image in range(2):
        for row in range(2):
            for column in range(2):
                cell = images[image, 0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
                expected = (cell - cell.mean()) / cell.std(ddof=1)
                np.testing.assert_allclose(targets[image, 2 * row + column], expected.ravel(), rtol=1e-4, atol=1e-5)


def test_an_even_cell_is_not_blown_up_to_noise() -> None:
    images = torch.full((1, 1, 8, 8), 0.3) + 1e-4 * torch.rand(1, 1, 8, 8)
    assert cell_targets(images, 4).abs().max() < 0.01


def test_what_is_hidden_cannot_be_seen() -> None:
    network = module().eval()
    images = torch.rand(1, 1, 32, 32)
    hidden = torch.zeros(1, TEST.grid**2, dtype=torch.bool)
    hidden[0, 0] = True  # the upper left cell
    changed = images.clone()
    changed[..., : network.cell, : network.cell] = 1 - images[..., : network.cell, : network.cell]
    assert torch.equal(network(images, hidden), network(changed, hidden))
    assert not torch.equal(network(images, ~hidden), network(changed, ~hidden))


def test_a_size_that_does_not_divide_into_cells_is_refused() -> None:
    with pytest.raises(InputError, match="30 pixels do not divide into 8 cells"):
        MaskedImages(replace(TEST, image_size=30), PretrainConfig())
