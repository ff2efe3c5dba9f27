"""Where the network looked: the way back is right, and the map is of this network and of this image."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from scipy.stats import binomtest, spearmanr
from torch import Tensor
from torch.nn import functional

from secondread.data.sources.phantom.plan import single_case
from secondread.data.sources.phantom.render import finding_mask, render
from secondread.evaluation.saliency import hits
from secondread.model.saliency import explain
from secondread.model.vit import PRESETS, ViT, ViTConfig

CLASSES = ("cxr-normal", "cxr-opacity", "cxr-tuberculosis")
SIZE = 32
SMALL = PRESETS["vit-test-32"].fit_to(image_size=SIZE, classes=len(CLASSES))


def lively(config: ViTConfig) -> ViT:
    """A network whose BatchNorm and weights are not those of the start."""
    torch.manual_seed(0)
    model = ViT(config).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        for _ in range(3):
            model(torch.rand(8, 1, config.image_size, config.image_size))
    return model.eval()


def held_norm(tokens: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    spread = (tokens.var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt().detach()
    return (tokens - tokens.mean(-1, keepdim=True)) / spread * norm.weight + norm.bias


def by_autograd(model: ViT, images: Tensor) -> np.ndarray:
    """The same shares from autograd, of a forward pass in which what is held is detached."""
    pixels = ((images - 0.5) / 0.25).requires_grad_()
    grid = model.stem(pixels).flatten(2).transpose(1, 2)
    tokens = torch.cat([model.cls.expand(len(grid), 1, -1), grid], dim=1) + model.positions
    for block in model.blocks:
        attention, (_, widen, _, narrow, _) = block.attention[1], block.feed_forward
        normed = held_norm(tokens, block.attention[0])
        query, key, value = (
            part(normed).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
            for part in (attention.query, attention.key, attention.value)
        )
        weights = functional.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1).detach()
        tokens = tokens + attention.project((weights @ value).transpose(1, 2).flatten(2))
        hidden = widen(held_norm(tokens, block.feed_forward[0]))
        tokens = tokens + narrow(hidden * torch.distributions.Normal(0, 1).cdf(hidden).detach())
    logits = model.head(held_norm(tokens[:, 0], model.norm))
    (gradient,) = torch.autograd.grad(logits.amax(dim=1).sum(), pixels)
    return (gradient * pixels).detach().numpy()[:, 0]


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        PRESETS["vit-64"].fit_to(image_size=48, classes=5),
        replace(SMALL, image_size=27, stem_channels=(8, 8, 16), stem_strides=(2, 1, 2)),
    ],
    ids=["small", "default preset", "odd sides"],
)
def test_the_way_back_is_the_one_that_autograd_finds(config: ViTConfig) -> None:
    model, side = lively(config), config.image_size
    images = torch.from_numpy(np.random.default_rng(0).random((4, 1, side, side), dtype=np.float32))
    reach = max(1, side // 20)
    expected = []
    for shares in by_autograd(model, images):
        framed = np.pad(shares.astype(np.float64), 2 * reach, mode="edge")
        for _ in range(2):
            framed = uniform_filter(framed, 2 * reach + 1)
        smooth = framed[2 * reach : -2 * reach, 2 * reach : -2 * reach].clip(0)
        expected.append(smooth / smooth.max())
    with torch.inference_mode():
        found = explain(model, images).saliency
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), np.array(expected), atol=2e-4)


def test_the_answer_is_the_one_that_is_given_without_a_map() -> None:
    model = lively(SMALL)
    images = torch.rand(3, 1, SIZE, SIZE)
    with torch.inference_mode():
        explained, (prediction, description) = explain(model, images), model.describe(images)
    for ours, theirs in zip(explained.prediction, prediction, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    torch.testing.assert_close(explained.description, description, atol=0, rtol=0)


def test_where_nothing_speaks_for_the_class_the_map_is_empty() -> None:
    model = lively(SMALL)
    with torch.inference_mode():
        saliency = explain(model, torch.full((2, 1, SIZE, SIZE), 0.5)).saliency  # mid grey, which shares count from
    assert (saliency == 0).all()


class Phantoms(NamedTuple):
    images: Tensor  # float32 (images, 1, SIZE, SIZE)
    labels: Tensor  # int64 (images,)
    masks: np.ndarray  # bool (images, SIZE, SIZE)


def phantoms(seeds: range) -> Phantoms:
    """Each class with each seed."""
    cases = [single_case(name, seed=seed) for seed in seeds for name in CLASSES]
    images = np.stack([render(case, size=SIZE) for case in cases])[:, None]
    labels = torch.arange(len(CLASSES)).repeat(len(seeds))
    masks = np.stack([finding_mask(case, size=SIZE) for case in cases])
    return Phantoms(torch.from_numpy(images).float() / 255, labels, masks)


@pytest.fixture(scope="module")
def learned() -> ViT:
    """A small network that tells a healthy chest from two findings."""
    torch.manual_seed(0)
    shown, model = phantoms(range(100)), ViT(SMALL).train()
    steps = 250
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in range(steps):
        chosen = torch.randint(len(shown.labels), (32,))
        optimizer.zero_grad()
        functional.cross_entropy(model(shown.images[chosen]).logits, shown.labels[chosen]).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@pytest.fixture(scope="module")
def fresh() -> Phantoms:
    """What it has not seen."""
    return phantoms(range(1000, 1040))


def maps(model: ViT, data: Phantoms) -> np.ndarray:
    with torch.inference_mode():
        return explain(model, data.images).saliency.numpy()


def found_ill(model: ViT, data: Phantoms) -> Phantoms:
    """The images with a finding whose class the network names right."""
    with torch.inference_mode():
        right = (model(data.images).logits.argmax(dim=1) == data.labels).numpy()
    kept = right & (data.labels > 0).numpy() & data.masks.any(axis=(1, 2))
    return Phantoms(data.images[kept], data.labels[kept], data.masks[kept])


def test_the_map_points_at_a_finding_more_often_than_chance(learned: ViT, fresh: Phantoms) -> None:
    ill = found_ill(learned, fresh)
    pointed = hits(maps(learned, ill), ill.masks)
    chance = ill.masks.mean()
    assert binomtest(int(pointed.sum()), len(pointed), chance, alternative="greater").pvalue < 0.001


@pytest.mark.parametrize("parts", [("blocks", "norm", "head"), ("stem", "blocks", "norm", "head")])
def test_the_map_is_another_with_random_weights(learned: ViT, fresh: Phantoms, parts: tuple[str, ...]) -> None:
    ill = found_ill(learned, fresh)
    torch.manual_seed(9)
    other, untrained = copy.deepcopy(learned), ViT(SMALL)
    for name in parts:
        getattr(other, name).load_state_dict(getattr(untrained, name).state_dict())
    pairs = zip(maps(learned, ill), maps(other.eval(), ill), strict=True)
    assert np.mean([spearmanr(one.ravel(), two.ravel()).statistic for one, two in pairs]) < 0.4
    again = zip(maps(learned, ill), maps(learned, ill), strict=True)
    assert np.mean([spearmanr(one.ravel(), two.ravel()).statistic for one, two in again]) == pytest.approx(1)


def test_the_map_is_of_the_image(learned: ViT, fresh: Phantoms) -> None:
    ill = found_ill(learned, fresh)
    found = maps(learned, ill)
    of_others = hits(np.roll(found, 1, axis=0), ill.masks)
    assert hits(found, ill.masks).mean() > of_others.mean()
