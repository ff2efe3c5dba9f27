"""Where in an image the network found what speaks for the class that it names.

Attention weights, the spread that a LayerNorm divides by and the gates of GELU and ReLU are held at what they are for
this image. What is left is linear, so that the logit of a class is a sum of one share for each pixel, compared with mid
grey, and of what no pixel changes (biases, the [CLS] token, positions). One way back through the network finds the
shares; it is written out below, since the graph that is served has no gradients. What speaks against the class is left
out.

Source: Ali et al. 2022, "XAI for Transformers: Better Explanations through Conservative Propagation", for attention and
LayerNorm; Achtibat et al. 2024, "AttnLRP", for the gates. `python -m benchmarks.saliency` compares it with attention
rollout (Abnar & Zuidema 2020) and with maps that know nothing of the image; docs/evaluation.md has the figures.

It says where, not why: a map that looks right proves nothing (Adebayo et al. 2018, "Sanity Checks for Saliency Maps").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from secondread.model.out_of_distribution import description
from secondread.model.vit import Attention, Block, Prediction, Stem, ViT, scaled

# Single pixels are too noisy to be looked at, so shares are smoothed twice by the mean over a square that reaches this
# part of the side either way. Of 1, 2 and 3 pixels, a network of 64 px pointed best with 3; smoothing once over a
# larger square leaves stripes.
_SQUARES = 20


class Explained(NamedTuple):
    """What the network says of a batch, and where it looked.

    Attributes:
        prediction, description: as `ViT.describe` gives them.
        saliency: float32 (batch, image_size, image_size), in [0, 1]: how much each place speaks for the class with the
            largest logit, as a share of what the strongest place does; 0 all over where none does.
    """

    prediction: Prediction
    description: Tensor
    saliency: Tensor


def explain(model: ViT, images: Tensor) -> Explained:
    """Classify a batch and say where it shows.

    Args:
        model: in evaluation mode.
        images: as `ViT.forward` takes them.
    """
    pixels = scaled(images)
    maps = model.stem.maps(pixels)
    tokens = model.sequence(model.stem.project(maps[-1]))
    passed = []
    for block in model.blocks:
        passed.append(_Passed(cast("Block", block), tokens))
        tokens = passed[-1].output
    prediction = model.classify(tokens)
    chosen = model.head.weight[prediction.logits.argmax(dim=1)]
    on_cls = _through_norm(model.norm, tokens[:, :1], chosen[:, None])
    share = torch.cat([on_cls, torch.zeros_like(tokens[:, 1:])], dim=1)
    for block_passed in reversed(passed):
        share = block_passed.back(share)
    grid = rearrange(share[:, 1:], "batch (row column) dim -> batch dim row column", row=model.config.grid)
    shares = _through_stem(model.stem, [pixels, *maps], grid) * pixels
    return Explained(prediction, description(maps), _shown(shares))


class _Passed:
    """One block's way from its input to its output, and back with what depends on the image held.

    Attributes:
        output: float (batch, token, dim).
    """

    def __init__(self, block: Block, tokens: Tensor) -> None:
        self._norm, self._attention, _ = cast("tuple[nn.LayerNorm, Attention, nn.Module]", tuple(block.attention))
        self._inner_norm, self._widen, gelu, self._narrow, _ = cast(
            "tuple[nn.LayerNorm, nn.Linear, nn.GELU, nn.Linear, nn.Module]", tuple(block.feed_forward)
        )
        self._tokens = tokens
        attention, normed = self._attention, self._norm(tokens)
        projections = (attention.query, attention.key, attention.value)
        query, key, value = (self._split(linear(normed)) for linear in projections)
        self._weights = functional.softmax(query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5, dim=-1)
        self._attended = tokens + attention.project(_join(self._weights @ value))
        hidden = self._widen(self._inner_norm(self._attended))
        # GELU is its input times the share of a normal distribution below it
        self._gate = (1 + torch.erf(hidden / 2**0.5)) / 2
        self.output = self._attended + self._narrow(gelu(hidden))

    def back(self, share: Tensor) -> Tensor:
        """How much a logit changes with the output, to how much with the input: float (batch, token, dim) each."""
        hidden = (share @ self._narrow.weight) * self._gate
        share = share + _through_norm(self._inner_norm, self._attended, hidden @ self._widen.weight)
        mixed = self._weights.transpose(-2, -1) @ self._split(share @ self._attention.project.weight)
        return share + _through_norm(self._norm, self._tokens, _join(mixed) @ self._attention.value.weight)

    def _split(self, tokens: Tensor) -> Tensor:
        return rearrange(tokens, "batch token (head width) -> batch head token width", head=self._attention.heads)


def _join(tokens: Tensor) -> Tensor:
    return rearrange(tokens, "batch head token width -> batch token (head width)")


def _through_norm(norm: nn.LayerNorm, tokens: Tensor, share: Tensor) -> Tensor:
    """Back through a LayerNorm of `tokens`, with their spread held."""
    weighted = share * norm.weight
    spread = (tokens.var(dim=-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    return (weighted - weighted.mean(dim=-1, keepdim=True)) / spread


def _through_stem(stem: Stem, maps: Sequence[Tensor], share: Tensor) -> Tensor:
    """Back through the stem, from its grid to its pixels.

    Args:
        stem: of the network.
        maps: what goes into each of its convolutions, the pixels first.
        share: float (batch, dim, row, column), of the grid.
    """
    layers = tuple(stem)
    share = functional.conv_transpose2d(share, cast("nn.Conv2d", layers[-1]).weight)
    blocks = list(zip(layers[0:-1:3], layers[1:-1:3], maps[:-1], maps[1:], strict=True))
    for layer, batch_norm, given, left in reversed(blocks):
        convolution, norm = cast("nn.Conv2d", layer), cast("nn.BatchNorm2d", batch_norm)
        share = share * (left > 0) * _gain(norm)
        stride = convolution.stride[0]
        # of two sides that a stride makes the same, the one that it was
        rest = given.shape[-1] - 1 - (left.shape[-1] - 1) * stride
        share = functional.conv_transpose2d(share, convolution.weight, stride=stride, padding=1, output_padding=rest)
    return share


def _gain(norm: nn.BatchNorm2d) -> Tensor:
    """What a BatchNorm multiplies each channel by, float (channels, 1, 1)."""
    spread = (cast("Tensor", norm.running_var) + norm.eps).sqrt()
    return (norm.weight / spread)[:, None, None]


def _shown(shares: Tensor) -> Tensor:
    """Each pixel's share, float (batch, 1, side, side), smoothed and without what is negative, to [0, 1]."""
    reach = max(1, shares.shape[-1] // _SQUARES)
    smooth = functional.pad(shares, (2 * reach,) * 4, mode="replicate")
    for _ in range(2):
        smooth = functional.avg_pool2d(smooth, kernel_size=2 * reach + 1, stride=1)
    smooth = smooth[:, 0].clamp(min=0)
    # a share of 1e-30 of a logit is nothing, and divided by less would be no number
    return smooth / smooth.amax(dim=(1, 2), keepdim=True).clamp(min=1e-30)
