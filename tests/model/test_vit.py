"""The classifier: shapes, size, and attention that is torch's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from secondread.errors import InputError
from secondread.model.vit import PRESETS, Attention, DropPath, ViT, ViTConfig, parameter_count, preset_for

TEST = PRESETS["vit-test-32"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_gives_logits_and_an_embedding(name: str) -> None:
    config = replace(PRESETS[name], classes=5)
    images = torch.rand(2, 1, config.image_size, config.image_size)
    with torch.inference_mode():
        prediction = ViT(config).eval()(images)
    assert prediction.logits.shape == (2, 5)
    assert prediction.embedding.shape == (2, config.dim)
    assert prediction.logits.dtype == prediction.embedding.dtype == torch.float32


def test_the_starting_configuration_has_five_million_parameters() -> None:
    config = PRESETS["vit-seed-64"]
    assert (config.dim, config.depth, config.heads, config.head_dim, config.mlp_dim) == (64, 16, 16, 64, 256)
    assert config.tokens == 257
    assert parameter_count(config) == sum(parameter.numel() for parameter in ViT(config).parameters())
    assert parameter_count(config) == pytest.approx(5.0e6, rel=0.02)


@pytest.mark.parametrize(
    ("size", "grid"), [(28, 7), (32, 4), (64, 4), (96, 6), (128, 8), (192, 6), (224, 7), (512, 16)]
)
def test_our_presets_give_any_image_size_some_dozen_tokens(size: int, grid: int) -> None:
    config = PRESETS[preset_for(size)].fit_to(image_size=size, classes=3)
    assert config.grid == grid
    tokens = ViT(replace(config, depth=1)).stem(torch.zeros(1, 1, size, size))
    assert tokens.shape == (1, config.dim, grid, grid)


def test_the_logits_are_a_linear_layer_of_the_embedding() -> None:
    model = ViT(TEST).eval()
    with torch.inference_mode():
        prediction = model(torch.rand(3, 1, 32, 32))
        torch.testing.assert_close(model.head(prediction.embedding), prediction.logits)
        normalised = (prediction.embedding - model.norm.bias) / model.norm.weight
        torch.testing.assert_close(normalised.mean(dim=1), torch.zeros(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [32, 96])
def test_an_image_is_described_by_the_stems_channels_over_nine_regions_at_each_scale(size: int) -> None:
    torch.manual_seed(0)
    config = PRESETS["vit-96"].fit_to(image_size=size, classes=3)
    model = ViT(config).eval()
    images = torch.rand(2, 1, size, size)
    with torch.inference_mode():
        prediction, description = model.describe(images)
        for ours, theirs in zip(prediction, model(images), strict=True):
            torch.testing.assert_close(ours, theirs)
        maps = nn.Sequential(*list(model.stem)[:3])((images - 0.5) / 0.25)  # the first block
        regions = functional.adaptive_avg_pool2d(maps, 3).flatten(1)
    if size % 6 == 0:
        torch.testing.assert_close(description[:, : regions.shape[1]], regions)
    of_scales = [
        channels
        for channels, following in zip(config.stem_channels, (*config.stem_strides[1:], 2), strict=True)
        if following == 2
    ]
    assert description.shape == (2, 9 * sum(of_scales))


def test_attention_is_torchs_own() -> None:
    config = replace(TEST, dim=24, heads=3, head_dim=8)
    ours = Attention(config)
    theirs = nn.MultiheadAttention(24, 3, batch_first=True)
    with torch.no_grad():
        linears = (ours.query, ours.key, ours.value)
        for linear in (*linears, ours.project):
            nn.init.normal_(linear.weight, std=0.3)
            nn.init.normal_(linear.bias, std=0.3)
        theirs.in_proj_weight.copy_(torch.cat([linear.weight for linear in linears]))
        theirs.in_proj_bias.copy_(torch.cat([linear.bias for linear in linears]))
        theirs.out_proj.load_state_dict(ours.project.state_dict())
        tokens = torch.randn(2, 7, 24)
        torch.testing.assert_close(ours(tokens), theirs(tokens, tokens, tokens)[0], atol=1e-5, rtol=1e-5)


def test_training_attends_as_inference_does() -> None:
    config = ViTConfig(image_size=64, classes=3)
    torch.manual_seed(0)
    attention, tokens = Attention(config), torch.randn(2, 17, config.dim)
    assert torch.allclose(attention.train()(tokens), attention.eval()(tokens), atol=1e-6)


def test_images_of_a_batch_do_not_see_each_other() -> None:
    model = ViT(TEST).eval()
    images = torch.rand(4, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model(images).logits[2:3], model(images[2:3]).logits, atol=1e-5, rtol=1e-5)


def test_drop_path_leaves_out_whole_images_and_keeps_the_mean() -> None:
    layer, branch = DropPath(0.25), torch.ones(4000, 2, 3)
    dropped = layer.train()(branch)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.amin(dim=(1, 2)).equal(dropped.amax(dim=(1, 2)))
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert layer.eval()(branch) is branch


def test_a_configuration_survives_json() -> None:
    assert ViTConfig.from_dict(PRESETS["vit-seed-64"].to_dict()) == PRESETS["vit-seed-64"]
    with pytest.raises(InputError, match="unknown field patches"):
        ViTConfig.from_dict({"patches": 16})


@pytest.mark.parametrize(
    "settings",
    [{"depth": 0}, {"stem_strides": (3,), "stem_channels": (8,)}, {"stem_strides": (2,)}, {"dropout": 1.0}],
)
def test_an_impossible_architecture_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InputError, match=str(next(iter(settings)))):
        replace(TEST, **settings)  # type: ignore[arg-type]
