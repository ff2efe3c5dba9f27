"""The peer of `train.speedup_vs_seed_config` is the network it stands for, and so is our preset of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from benchmarks.peers import vit_pytorch_seed as peer
from secondread.errors import DependencyError
from secondread.model import vit
from secondread.model.vit import PRESETS, ViT, parameter_count

CLASSES = 4
CONFIG = PRESETS["vit-seed-64"].fit_to(image_size=64, classes=CLASSES)


def as_peer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of our preset under the names of the peer, whose projections to heads have no bias."""
    named = {name: tensor for name, tensor in state.items() if name.startswith(("stem.", "head."))}
    named |= {"cls_token": state["cls"][None, None], "pos_embedding": state["positions"][None]}
    for kind in ("weight", "bias"):
        named[f"transformer.norm.{kind}"] = state[f"norm.{kind}"]
        for i in range(CONFIG.depth):
            ours, theirs = f"blocks.{i}", f"transformer.layers.{i}"
            named[f"{theirs}.0.norm.{kind}"] = state[f"{ours}.attention.0.{kind}"]
            named[f"{theirs}.0.to_out.0.{kind}"] = state[f"{ours}.attention.1.project.{kind}"]
            for place, their_place in ((0, 0), (1, 1), (3, 4)):
                named[f"{theirs}.1.net.{their_place}.{kind}"] = state[f"{ours}.feed_forward.{place}.{kind}"]
    for i in range(CONFIG.depth):
        parts = [state[f"blocks.{i}.attention.1.{part}.weight"] for part in ("query", "key", "value")]
        named[f"transformer.layers.{i}.0.to_qkv.weight"] = torch.cat(parts)
    return named


def test_our_preset_of_the_seed_computes_what_the_peer_computes() -> None:
    torch.manual_seed(3)
    ours, theirs = ViT(CONFIG).eval(), peer.SeedViT(CLASSES).eval()
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            if name.endswith(("query.bias", "key.bias", "value.bias")):
                parameter.zero_()
            elif parameter.ndim > 1:
                parameter.mul_(3)  # as drawn, sixteen layers hardly change their input
        theirs.load_state_dict(as_peer(ours.state_dict()))
        images = torch.rand(3, 1, 64, 64)
        expected = theirs((images - vit._PIXEL_MEAN) / vit._PIXEL_STD)
        logits = ours(images).logits
    assert expected.std() > 0.05
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_every_weight_of_the_peer_has_one_of_our_preset() -> None:
    state = ViT(CONFIG).state_dict()
    assert {name: t.shape for name, t in as_peer(state).items()} == {
        name: t.shape for name, t in peer.SeedViT(CLASSES).state_dict().items()
    }
    count = sum(parameter.numel() for parameter in peer.SeedViT(CLASSES).parameters())
    biases = CONFIG.depth * 3 * CONFIG.heads * CONFIG.head_dim
    assert parameter_count(CONFIG) == count + biases
    assert 4.7e6 < count < 5.3e6
    assert CONFIG.tokens == peer.TOKENS == 257


def test_the_peers_loop_trains_and_tells_its_speed() -> None:
    images, labels = torch.randn(2, 1, 64, 64), torch.tensor([0, 3])
    assert peer.images_per_second(images, labels, classes=CLASSES, steps=1, bf16=False) > 0


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise peer.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(peer.importlib.metadata, "distribution", missing)
    with pytest.raises(DependencyError, match=r"vit-pytorch.* is missing: run `make setup`"):
        peer.SeedViT(CLASSES)
