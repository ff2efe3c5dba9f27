"""The classifier: a vision transformer with a convolutional stem, whole in this file.

Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", with the stem of Xiao et al. 2021, "Early Convolutions Help
Transformers See Better": 3x3 Conv-BatchNorm-ReLU blocks instead of one large patch projection. On a thousand images
the stem is what makes it learn at all, so its depth matters more than that of the transformer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional

from secondread.errors import InputError
from secondread.model.out_of_distribution import description

# Grey values in [0, 1] have about this mean and spread over films; BatchNorm in the stem takes care of the rest.
_PIXEL_MEAN, _PIXEL_STD = 0.5, 0.25
# Fewer tokens along a side say too little about where: `fit_to` lowers the stem's stride before it comes to that.
_MIN_GRID = 4


@dataclass(frozen=True)
class ViTConfig:
    """Architecture of one classifier. Lengths are in pixels, channels or layers.

    Attributes:
        image_size: side of the square image, in pixels.
        classes: number of classes.
        stem_channels: output channels of each Conv-BatchNorm-ReLU block.
        stem_strides: 1 or 2 for each block; their product is the side of a token in pixels.
        dim: width of a token.
        depth: number of transformer blocks.
        heads: attention heads of each block.
        head_dim: width of one head; `heads * head_dim` need not be `dim`.
        mlp_dim: hidden width of the feed-forward part.
        dropout: share of zeroed activations after attention and feed-forward, in [0, 1).
        drop_path: share of images that skip a block in training, in [0, 1), rising linearly to this at the last block
            (stochastic depth, Huang et al. 2016).
    """

    image_size: int = 96
    classes: int = 9
    stem_channels: tuple[int, ...] = (24, 48, 96, 96, 192, 192, 192)
    stem_strides: tuple[int, ...] = (2, 2, 2, 1, 2, 1, 1)
    dim: int = 192
    depth: int = 3
    heads: int = 3
    head_dim: int = 64
    mlp_dim: int = 384
    dropout: float = 0.0
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        for name in ("image_size", "classes", "dim", "depth", "heads", "head_dim", "mlp_dim"):
            if getattr(self, name) < 1:
                raise InputError(f"architecture: {name} is {getattr(self, name)}; it must be at least 1.")
        if not self.stem_channels or len(self.stem_channels) != len(self.stem_strides):
            raise InputError(
                f"architecture: stem_channels {self.stem_channels} and stem_strides {self.stem_strides} must have the "
                "same length, at least 1."
            )
        if any(stride not in (1, 2) for stride in self.stem_strides):
            raise InputError(f"architecture: stem_strides {self.stem_strides} may hold only 1 and 2.")
        for name in ("dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"architecture: {name} is {getattr(self, name)}; it must be in [0, 1).")

    @property
    def grid(self) -> int:
        """Tokens along one side: a stride-2 block halves the side, rounding up."""
        side = self.image_size
        for stride in self.stem_strides:
            side = -(-side // stride)
        return side

    @property
    def tokens(self) -> int:
        """Length of the sequence, [CLS] included."""
        return self.grid**2 + 1

    def fit_to(self, *, image_size: int, classes: int) -> ViTConfig:
        """This architecture for another image size and number of classes.

        While fewer than 4 whole tokens would stand along a side, the last stride-2 block becomes stride 1: an image of
        28 pixels gets tokens of 4 instead of 16 pixels.
        """
        config = replace(self, image_size=image_size, classes=classes)
        while image_size // math.prod(config.stem_strides) < _MIN_GRID and 2 in config.stem_strides:
            last = len(config.stem_strides) - 1 - config.stem_strides[::-1].index(2)
            strides = tuple(1 if i == last else stride for i, stride in enumerate(config.stem_strides))
            config = replace(config, stem_strides=strides)
        return config

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ViTConfig:
        """From the JSON that `to_dict` gives.

        Raises:
            InputError: a field is not known.
        """
        known = {field.name for field in fields(cls)}
        if unknown := set(document) - known:
            raise InputError(
                f"architecture: unknown field {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}."
            )
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in document.items()}
        return cls(**values)


# Every preset fits any image size (`ViTConfig.fit_to`); the number in its name is the size that it was made for.
PRESETS: dict[str, ViTConfig] = {
    # Ours: of each size what was most accurate for its time on two cores (docs/training.md has what else was tried).
    "vit-64": ViTConfig(image_size=64),
    "vit-96": ViTConfig(),
    "vit-224": ViTConfig(
        image_size=224,
        stem_channels=(16, 32, 64, 128, 128, 192, 192, 192),
        stem_strides=(2, 2, 2, 2, 1, 2, 1, 1),
    ),
    # kept for comparison: 257 tokens and heads far wider than a token, 5.0 M parameters
    "vit-seed-64": ViTConfig(
        image_size=64,
        stem_channels=(32, 64, 128, 128),
        stem_strides=(2, 1, 2, 1),
        dim=64,
        depth=16,
        heads=16,
        head_dim=64,
        mlp_dim=256,
    ),
    # learns nothing worth serving; fast enough for a test
    "vit-test-32": ViTConfig(
        image_size=32, stem_channels=(8, 16), stem_strides=(2, 2), dim=16, depth=2, heads=2, head_dim=8, mlp_dim=32
    ),
}


_OURS = ("vit-64", "vit-96", "vit-224")


def preset_for(image_size: int) -> str:
    """Name of our preset that was made for the nearest image size, in ratio.

    Args:
        image_size: side, in pixels.
    """
    return min(_OURS, key=lambda name: abs(math.log(PRESETS[name].image_size / image_size)))


class Prediction(NamedTuple):
    """What the classifier says of a batch.

    Attributes:
        logits: float32 (batch, classes), before scaling and softmax.
        embedding: float32 (batch, dim), the normalised [CLS] token that the last linear layer sees.
    """

    logits: Tensor
    embedding: Tensor


class Stem(nn.Sequential):
    """Images to a grid of tokens: 3x3 Conv-BatchNorm-ReLU blocks, then a 1x1 convolution to the token's width."""

    def __init__(self, config: ViTConfig) -> None:
        layers: list[nn.Module] = []
        channels = (1, *config.stem_channels)
        for (inputs, outputs), stride in zip(pairwise(channels), config.stem_strides, strict=True):
            layers += [
                nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        layers.append(nn.Conv2d(channels[-1], config.dim, kernel_size=1))
        super().__init__(*layers)

    def maps(self, images: Tensor) -> list[Tensor]:
        """What each ReLU leaves of the images, float (batch, channels, side, side) each."""
        found = []
        for layer in list(self)[:-1]:
            images = layer(images)
            if isinstance(layer, nn.ReLU):
                found.append(images)
        return found

    def project(self, last: Tensor) -> Tensor:
        """The last of the maps to float (batch, dim, side, side): `project(maps(images)[-1])` is `forward(images)`."""
        grid: Tensor = self[-1](last)
        return grid


class Attention(nn.Module):
    """Multi-head self-attention. Three projections, not one: onnxruntime recognises and fuses this form."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        inner = config.heads * config.head_dim
        self.query = nn.Linear(config.dim, inner)
        self.key = nn.Linear(config.dim, inner)
        self.value = nn.Linear(config.dim, inner)
        self.project = nn.Linear(inner, config.dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """float (batch, token, dim) to the same shape."""
        query, key, value = (
            rearrange(linear(tokens), "batch token (head width) -> batch head token width", head=self.heads)
            for linear in (self.query, self.key, self.value)
        )
        mixed = self._attend(query, key, value)
        projected: Tensor = self.project(rearrange(mixed, "batch head token width -> batch token (head width)"))
        return projected

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Each token's mixture of values: three float (batch, head, token, width) to one."""
        if self.training and query.device.type == "cpu":
            # for some hundred tokens torch's fused kernel for CPUs is slower backwards: 7 times for 37 in bfloat16
            scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
            return functional.softmax(scores, dim=-1).to(value.dtype) @ value
        return functional.scaled_dot_product_attention(query, key, value)


class DropPath(nn.Module):
    """In training, zeroes a residual branch for a random share of the images and scales up the rest."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, branch: Tensor) -> Tensor:
        """float (batch, token, dim) to the same shape."""
        if not self.training or self.share == 0:
            return branch
        keep = 1 - self.share
        kept = torch.empty(branch.shape[0], 1, 1, dtype=branch.dtype, device=branch.device).bernoulli_(keep)
        return branch * kept / keep


class Block(nn.Module):
    """Pre-norm transformer block: attention, then feed-forward, each added to its input."""

    def __init__(self, config: ViTConfig, drop_path: float) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(config.dim), Attention(config), nn.Dropout(config.dropout))
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(config.dim),
            nn.Linear(config.dim, config.mlp_dim),
            nn.GELU(),
            nn.Linear(config.mlp_dim, config.dim),
            nn.Dropout(config.dropout),
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        """float (batch, token, dim) to the same shape."""
        attended = tokens + self.drop_path(self.attention(tokens))
        return torch.add(attended, self.drop_path(self.feed_forward(attended)))


class ViT(nn.Module):
    """Vision transformer with a convolutional stem for one-channel images."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = Stem(config)
        self.cls = nn.Parameter(torch.zeros(config.dim))
        self.positions = nn.Parameter(torch.empty(config.tokens, config.dim))
        steps = max(1, config.depth - 1)
        self.blocks = nn.Sequential(*(Block(config, config.drop_path * i / steps) for i in range(config.depth)))
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, config.classes)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, images: Tensor) -> Prediction:
        """Classify a batch.

        Args:
            images: float (batch, 1, image_size, image_size), grey values in [0, 1].
        """
        return self.classify(self.encode(images))

    def encode(self, images: Tensor) -> Tensor:
        """Images, as `forward` takes them, to float (batch, tokens, dim), [CLS] first, before the last LayerNorm."""
        tokens: Tensor = self.blocks(self.sequence(self.stem(scaled(images))))
        return tokens

    def describe(self, images: Tensor) -> tuple[Prediction, Tensor]:
        """Classify a batch, and say what its images look like, which what is classified no longer tells.

        Args:
            images: as `forward` takes them.
        Returns:
            What `forward` gives, and the `description` of the stem's maps, float (batch, features) from 0.
        """
        maps = self.stem.maps(scaled(images))
        return self.classify(self.blocks(self.sequence(self.stem.project(maps[-1])))), description(maps)

    def sequence(self, grid: Tensor) -> Tensor:
        """The stem's float (batch, dim, row, column) to the blocks' float (batch, tokens, dim), [CLS] first."""
        pixels = rearrange(grid, "batch dim row column -> batch (row column) dim")
        cls = repeat(self.cls, "dim -> batch 1 dim", batch=pixels.shape[0])
        return torch.cat([cls.to(pixels.dtype), pixels], dim=1) + self.positions

    def classify(self, tokens: Tensor) -> Prediction:
        """What the last block gives, float (batch, tokens, dim), to the answer."""
        embedding = self.norm(tokens[:, 0])
        return Prediction(logits=self.head(embedding), embedding=embedding)


def scaled(images: Tensor) -> Tensor:
    """Grey values in [0, 1] to what the stem takes."""
    return (images - _PIXEL_MEAN) / _PIXEL_STD


def _initialise(module: nn.Module) -> None:
    """Narrow normal weights for linear layers (as in ViT), He for convolutions before a ReLU."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def parameter_count(config: ViTConfig) -> int:
    """Number of learnable numbers of an architecture, without allocating them."""
    with torch.device("meta"):
        return sum(math.prod(parameter.shape) for parameter in ViT(config).parameters())
