"""Augmentation changes what means nothing, never what does, and comes from its generator alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import beta

from secondread.config.train import LEAST_MIXUP_ALPHA, TrainConfig
from secondread.errors import InputError
from secondread.taxonomy import ClassInfo, Taxonomy
from secondread.training.augment import Batch, augment, mirror_allowed, mix

STILL = TrainConfig(
    rotate_degrees=0,
    zoom_share=0,
    shift_share=0,
    contrast_share=0,
    brightness_share=0,
    sharpness_share=0,
    noise_share=0,
    erase_share=0,
    frame_share=0,
    mixup_alpha=0,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(64, 1, 24, 24, generator=generator(1)) * 0.98 + 0.01


def test_only_retinal_scans_may_be_mirrored() -> None:
    taxonomy = Taxonomy((ClassInfo("a", modality="cxr"), ClassInfo("b", modality="oct"), ClassInfo("c")))
    assert mirror_allowed(taxonomy).tolist() == [False, True, False]


def test_a_chest_film_is_never_mirrored_and_half_of_the_retinal_scans_are(images: torch.Tensor) -> None:
    mirrored = torch.arange(64) >= 32
    changed = augment(images, mirrored, STILL, generator())
    torch.testing.assert_close(changed[:32], images[:32], atol=1e-4, rtol=0)
    same = (changed[32:] - images[32:]).abs().amax(dim=(1, 2, 3)) < 1e-4
    flipped = (changed[32:] - images[32:].flip(dims=[3])).abs().amax(dim=(1, 2, 3)) < 1e-4
    assert (same ^ flipped).all()
    assert 8 <= flipped.sum() <= 24


def test_the_default_recipe_keeps_shape_and_range_and_changes_each_image_differently(images: torch.Tensor) -> None:
    one = images[:1].expand(16, -1, -1, -1)
    changed = augment(one, torch.zeros(16, dtype=torch.bool), TrainConfig(), generator())
    assert changed.shape == one.shape
    assert changed.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert len({image.sum().item() for image in changed}) == 16


def test_the_generator_decides_and_nothing_else(images: torch.Tensor) -> None:
    mirrored = torch.zeros(64, dtype=torch.bool)
    torch.manual_seed(1)
    first = augment(images, mirrored, TrainConfig(), generator(5))
    torch.manual_seed(2)
    assert torch.equal(augment(images, mirrored, TrainConfig(), generator(5)), first)
    assert not torch.equal(augment(images, mirrored, TrainConfig(), generator(6)), first)


def test_pixels_are_moved_in_float32_when_the_network_computes_in_bf16(images: torch.Tensor) -> None:
    """In bf16 no image would be read at its own pixels, not even one that is not moved."""
    config = TrainConfig(sharpness_share=0.5, noise_share=0.5)
    mirrored = torch.zeros(64, dtype=torch.bool)
    exact = augment(images, mirrored, config, generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augment(images, mirrored, config, generator()), exact)


def test_images_that_are_not_moved_are_left_as_they_are(images: torch.Tensor) -> None:
    """So that training sees what serving sees, beside what moving leaves: blur, and something at the corners."""
    config = TrainConfig(
        **{**STILL.__dict__, "rotate_degrees": 10, "zoom_share": 0.15, "shift_share": 0.06, "move_share": 0.5}
    )
    changed = augment(images, torch.zeros(64, dtype=torch.bool), config, generator())
    apart = (changed - images).abs().amax(dim=(1, 2, 3))
    assert 20 <= (apart < 1e-4).sum() <= 44
    assert ((apart < 1e-4) | (apart > 0.05)).all()


def test_a_share_of_the_images_gets_a_narrow_frame_of_black_or_white(images: torch.Tensor) -> None:
    config = TrainConfig(**{**STILL.__dict__, "frame_share": 0.5})
    changed = augment(images, torch.zeros(64, dtype=torch.bool), config, generator())
    torch.testing.assert_close(changed[:, :, 2:-2, 2:-2], images[:, :, 2:-2, 2:-2], atol=1e-4, rtol=0)
    margin = torch.ones(24, 24, dtype=torch.bool)
    margin[1:-1, 1:-1] = False
    black, white = ((changed[:, 0][:, margin] == grey).all(dim=1) for grey in (0, 1))
    assert 16 <= (black | white).sum() <= 44
    assert black.sum() >= 5
    assert white.sum() >= 5
    whole = ~(black | white)
    torch.testing.assert_close(changed[whole], images[whole], atol=1e-4, rtol=0)


def test_what_comes_in_at_the_edges_is_as_bright_as_they_are() -> None:
    """Black corners would be in every image of training, and in none that is served."""
    config = TrainConfig(
        **{**STILL.__dict__, "rotate_degrees": 30, "zoom_share": 0.5, "shift_share": 0.2, "move_share": 1}
    )
    grey = torch.full((32, 1, 24, 24), 0.6)
    changed = augment(grey, torch.zeros(32, dtype=torch.bool), config, generator())
    torch.testing.assert_close(changed, grey, atol=1e-4, rtol=0)


def test_a_shift_moves_by_at_most_the_share() -> None:
    images = torch.zeros(32, 1, 40, 40)
    images[:, :, 20, 20] = 1
    config = TrainConfig(**{**STILL.__dict__, "shift_share": 0.1, "move_share": 1})
    moved = augment(images, torch.zeros(32, dtype=torch.bool), config, generator())
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    mass = moved.clamp(min=2e-4).sub(2e-4).squeeze(1)
    for axis in (rows, columns):
        centre = (mass * axis).sum(dim=(1, 2)) / mass.sum(dim=(1, 2))
        assert (centre - 20).abs().max() <= 0.1 * 40 + 0.01
        assert (centre - 20).abs().max() > 1


def test_a_share_of_the_images_is_blurred_or_sharpened_by_a_gaussian_of_another_width_in_each() -> None:
    point = torch.full((400, 1, 41, 41), 0.5)
    point[:, :, 20, 20] += 0.1
    config = TrainConfig(**{**STILL.__dict__, "sharpness_share": 0.5, "sharpness_radius": 0.05})
    changed = augment(point, torch.zeros(400, dtype=torch.bool), config, generator())
    gained = (changed - point)[:, 0].double().numpy() / 0.1
    apart = np.abs(gained).max(axis=(1, 2))
    assert (apart < 1e-4).mean() == pytest.approx(0.5, abs=0.08)
    amounts, radii = [], []
    for gain in gained[np.abs(gained[:, 20, 21]) > 0.02]:
        # of a Gaussian, the pixel beside the middle is exp(1 / 2 deviation ** 2) of the one at its corner
        radius = (2 * np.log(gain[20, 21] / gain[21, 21])) ** -0.5
        delta = np.zeros((41, 41))
        delta[20, 20] = 1
        toward = gaussian_filter(delta, radius, mode="nearest", truncate=8) - delta
        amount = (gain * toward).sum() / (toward**2).sum()
        np.testing.assert_allclose(gain, amount * toward, atol=2e-3)
        amounts.append(amount)
        radii.append(radius)
    assert 0.8 < max(amounts) <= 1.01
    assert -0.8 > min(amounts) >= -1.01
    assert min(radii) < 0.6
    assert 1.9 < max(radii) < 0.05 * 41 + 0.02


def test_what_has_no_edges_can_be_neither_blurred_nor_sharpened() -> None:
    grey = torch.linspace(0.1, 1, 32).view(-1, 1, 1, 1).expand(-1, 1, 24, 24)
    config = TrainConfig(**{**STILL.__dict__, "sharpness_share": 1.0, "sharpness_radius": 0.1})
    changed = augment(grey, torch.zeros(32, dtype=torch.bool), config, generator())
    torch.testing.assert_close(changed, grey, atol=1e-4, rtol=0)


def test_noise_is_in_its_share_of_the_images_and_of_another_spread_in_each() -> None:
    grey = torch.full((600, 1, 32, 32), 0.5)
    config = TrainConfig(**{**STILL.__dict__, "noise_share": 0.3, "noise_spread": 0.04})
    noisy = augment(grey, torch.zeros(600, dtype=torch.bool), config, generator())
    spreads = (noisy - grey).flatten(1).std(dim=1)
    clean = spreads < 1e-5
    assert clean.float().mean() == pytest.approx(0.7, abs=0.06)
    assert spreads.max() < 0.043
    assert spreads[~clean].min() < 0.004
    assert spreads[~clean].mean() == pytest.approx(0.02, abs=0.003)
    assert noisy.mean() == pytest.approx(0.5, abs=1e-3)


def test_erasing_covers_a_rectangle_with_the_mean() -> None:
    images = torch.rand(16, 1, 40, 40, generator=generator(1))
    config = TrainConfig(**{**STILL.__dict__, "erase_share": 1.0})
    covered = augment(images, torch.zeros(16, dtype=torch.bool), config, generator())
    for before, after in zip(images, covered, strict=True):
        changed = (after - before).abs() > 1e-3
        rows, columns = changed[0].any(dim=1).nonzero(), changed[0].any(dim=0).nonzero()
        height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
        assert 3 <= height <= 15
        assert 3 <= width <= 15
        inside = after[0, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        torch.testing.assert_close(inside, torch.full_like(inside, float(before.mean())), atol=1e-3, rtol=0)


@pytest.mark.parametrize("alpha", [LEAST_MIXUP_ALPHA, 0.3, 1, 1.01, 4, 32, 1000])
def test_images_are_mixed_by_shares_of_the_beta_distribution_however_large_its_alpha(alpha: float) -> None:
    random, count, classes = generator(5), 4000, torch.eye(8)
    batch, config = Batch(torch.zeros(8, 1, 1, 1), classes), TrainConfig(mixup_alpha=alpha)
    # an image whose partner is itself keeps 1
    shares = np.array([mix(batch, config, random).targets.diagonal().min().item() for _ in range(count)])
    mean, variance, _, excess = (float(moment) for moment in beta(alpha, alpha).stats("mvsk"))
    assert abs(shares.mean() - mean) < 4 * np.sqrt(variance / count)
    assert abs(shares.var() - variance) < 4 * variance * np.sqrt((excess + 2) / count)


@pytest.mark.parametrize("alpha", [-0.3, 1e-9, LEAST_MIXUP_ALPHA / 2])
def test_an_alpha_whose_shares_could_not_be_drawn_is_refused(alpha: float) -> None:
    with pytest.raises(InputError, match=r"mixup_alpha must be 0, or at least 0\.01, not "):
        TrainConfig(mixup_alpha=alpha)


def test_mixing_blends_images_and_their_classes_alike() -> None:
    labels = torch.arange(8) % 4
    targets = torch.nn.functional.one_hot(labels, 4).float()
    images = targets.argmax(dim=1).float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2) / 3
    mixed = mix(Batch(images, targets), TrainConfig(mixup_alpha=0.4), generator(3))
    torch.testing.assert_close(mixed.targets.sum(dim=1), torch.ones(8))
    expected = (mixed.targets * torch.arange(4.0) / 3).sum(dim=1)
    torch.testing.assert_close(mixed.images[:, 0, 0, 0], expected)
    assert not torch.equal(mixed.targets, targets)
    assert mix(Batch(images, targets), STILL, generator()).targets is targets
