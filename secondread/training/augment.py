"""Random changes to a batch of training images, on tensors: a whole batch costs less than one image in a data worker.

What a film can differ in without meaning anything else: position, size, a few degrees of rotation, exposure, contrast,
sharpness, noise, a covered corner, a frame. A chest film is never mirrored, since the heart's side is a finding; a
retinal scan may be, since the left eye is the mirror of the right one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from secondread.config.train import TrainConfig
from secondread.taxonomy import Taxonomy

# Modalities in which an image and its mirror image mean the same. Whatever is not listed is not mirrored.
MIRRORED_MODALITIES = frozenset({"oct"})
# Sides of the erased rectangle, as shares of the image's side: large enough to hide a finding's usual place.
_ERASED_SIDE = (0.1, 0.35)
_LEAST_RADIUS = 0.3  # pixels: a narrower blur changes no pixel that one could see
_FRAME_WIDTH = 0.06  # of the image's side at most: wider ones hide what is to be read


@dataclass(frozen=True)
class Batch:
    """Augmented images with the classes they stand for.

    Attributes:
        images: float32 (batch, 1, size, size), grey values, mostly in [0, 1].
        targets: float32 (batch, classes), rows sum to 1; one-hot unless images were mixed.
    """

    images: Tensor
    targets: Tensor


def mirror_allowed(taxonomy: Taxonomy) -> Tensor:
    """For each class, whether its images may be mirrored: bool (classes,)."""
    return torch.tensor([info.modality in MIRRORED_MODALITIES for info in taxonomy.classes])


def augment(images: Tensor, mirrored: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Move, light, blur or sharpen, and partly cover each image at random.

    All of it in float32, also where the network computes in bf16, which is too coarse for places and for greys.

    Args:
        images: float32 (batch, 1, size, size), grey values in [0, 1].
        mirrored: bool (batch,), whether that image may be mirrored.
        config: how far each change may go.
        generator: the only source of randomness.
    Returns:
        float32 (batch, 1, size, size).
    """
    with torch.autocast(images.device.type, enabled=False):
        images = _affine(images, mirrored, config, generator)
        images = _light(images, config, generator)
        images = _sharpness(images, config, generator)
        images = _noise(images, config, generator)
        images = _erase(images, config, generator)
        return _frame(images, config, generator)


def mix(batch: Batch, config: TrainConfig, generator: torch.Generator) -> Batch:
    """Blend each image, and its class, with another one of the batch.

    Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization". One share for the whole batch, drawn from
    Beta(alpha, alpha).
    """
    if config.mixup_alpha == 0:
        return batch
    share = _beta(config.mixup_alpha, generator)
    partner = torch.randperm(len(batch.images), generator=generator, device=generator.device)
    return Batch(
        images=torch.lerp(batch.images[partner], batch.images, share),
        targets=torch.lerp(batch.targets[partner], batch.targets, share),
    )


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """float32 (count,), each in [low, high), on the generator's device."""
    return torch.rand(count, generator=generator, device=generator.device) * (high - low) + low


def _affine(images: Tensor, mirrored: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Rotate, zoom, shift and, where allowed, mirror about the middle; what comes in from outside repeats the edge.

    A network takes the traces of moving an image, blur and what comes in at the corners, for part of what it sees, and
    reads worse what has none. So some images stay as they are, as all are in serving. Source: Touvron et al. 2019,
    "Fixing the train-test resolution discrepancy", where it is the size of things that differs between the two.
    """
    count = len(images)
    moved = (_uniform(count, 0, 1, generator) < config.move_share).float()
    angle = moved * _uniform(count, -1, 1, generator) * math.radians(config.rotate_degrees)
    # the grid says where each output pixel is read, so a scale above 1 shrinks the picture
    zoom = torch.exp(moved * _uniform(count, -1, 1, generator) * math.log1p(config.zoom_share))
    aspect = torch.exp(moved * _uniform(count, -1, 1, generator) * math.log1p(config.zoom_share) / 2)
    flip = torch.where((_uniform(count, 0, 1, generator) < 0.5) & mirrored, -1.0, 1.0)
    # grid_sample's coordinates run from -1 to 1, so a share of the side is twice as long there
    shift_x = moved * _uniform(count, -2, 2, generator) * config.shift_share
    shift_y = moved * _uniform(count, -2, 2, generator) * config.shift_share
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    matrix = torch.stack(
        [
            torch.stack([cos * aspect * flip, -sin / aspect, shift_x], dim=1),
            torch.stack([sin * aspect * flip, cos / aspect, shift_y], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _light(images: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Change gamma, contrast about the image's mean, and brightness."""
    count = len(images)
    gamma = torch.exp(_uniform(count, -1, 1, generator) * math.log1p(config.contrast_share))
    contrast = 1 + _uniform(count, -1, 1, generator) * config.contrast_share
    brightness = _uniform(count, -1, 1, generator) * config.brightness_share
    gamma, contrast, brightness = (value.view(-1, 1, 1, 1) for value in (gamma, contrast, brightness))
    images = images.clamp(min=1e-4) ** gamma
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * contrast + mean + brightness).clamp(0, 1)


def _sharpness(images: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Move a share of the images towards their blurred copy, or as far away from it, which sharpens (unsharp masking).

    Detectors, processing and resizing leave each collection its own sharpness. Where a class comes from one collection,
    a network reads that instead of the lung.
    """
    if config.sharpness_share == 0:
        return images
    count, _, _, size = images.shape
    chosen = _uniform(count, 0, 1, generator) < config.sharpness_share
    widest = max(config.sharpness_radius * size, _LEAST_RADIUS)
    radius = _uniform(count, _LEAST_RADIUS, widest, generator)
    amount = chosen * _uniform(count, -1, 1, generator)
    across = _gaussian(size, radius)
    blurred = across @ images.squeeze(1) @ across.transpose(1, 2)
    return torch.lerp(images, blurred.unsqueeze(1), amount.view(-1, 1, 1, 1)).clamp(0, 1)


def _gaussian(length: int, deviation: Tensor) -> Tensor:
    """For each deviation (count,), in pixels, the matrix that blurs a line: (count, length, length), rows sum to 1."""
    place = torch.arange(length, device=deviation.device)
    apart = (place.view(-1, 1) - place) / deviation.view(-1, 1, 1)
    return torch.softmax(-(apart**2) / 2, dim=2)


def _noise(images: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Add normal noise to a share of the images, of another spread in each: detectors and doses differ.

    Not to all of them: some findings are as fine as the noise, and are to be learned where there is none.
    """
    if config.noise_share == 0:
        return images
    chosen = (_uniform(len(images), 0, 1, generator) < config.noise_share).nonzero().flatten()
    spread = _uniform(len(chosen), 0, config.noise_spread, generator).view(-1, 1, 1, 1)
    noise = torch.randn(len(chosen), *images.shape[1:], generator=generator, device=generator.device)
    return images.index_add(0, chosen, spread * noise).clamp(0, 1)


def _erase(images: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Cover a rectangle with the image's mean in a share of the images (Zhong et al. 2020, random erasing)."""
    count, _, height, width = images.shape
    low, high = _ERASED_SIDE
    chosen = _uniform(count, 0, 1, generator) < config.erase_share
    inside = [chosen.view(-1, 1, 1)]
    for axis, length in ((1, height), (2, width)):
        side = _uniform(count, low, high, generator) * length
        start = _uniform(count, 0, 1, generator) * (length - side)
        place = torch.arange(length, device=images.device).view((1, -1, 1) if axis == 1 else (1, 1, -1))
        inside.append((place >= start.view(-1, 1, 1)) & (place < (start + side).view(-1, 1, 1)))
    covered = (inside[0] & inside[1] & inside[2]).unsqueeze(1)
    return torch.where(covered, images.mean(dim=(1, 2, 3), keepdim=True), images)


def _frame(images: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Cover the margin of a share of the images with black or white, each as wide as chance has it.

    Scanners and viewers leave such frames. Where they do so for one class more than for another, a network reads the
    frame instead of the lung.
    """
    if config.frame_share == 0:
        return images
    count, _, height, width = images.shape
    chosen = _uniform(count, 0, 1, generator) < config.frame_share
    reach = chosen * _uniform(count, 0, _FRAME_WIDTH, generator) * min(height, width)
    grey = (_uniform(count, 0, 1, generator) < 0.5).float()
    rows, columns = (torch.arange(length, device=images.device) for length in (height, width))
    to_edge = torch.minimum(
        torch.minimum(rows, rows.flip(0)).view(-1, 1), torch.minimum(columns, columns.flip(0)).view(1, -1)
    )
    framed = to_edge < reach.view(-1, 1, 1, 1)
    return torch.where(framed, grey.view(-1, 1, 1, 1), images)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """One draw from Beta(alpha, alpha). Source: Jöhnk 1964 up to 1; above, where that hardly ever ends, numpy's."""
    if alpha > 1:
        seed = torch.randint(2**63 - 1, (1,), generator=generator, device=generator.device)
        return float(np.random.default_rng(int(seed)).beta(alpha, alpha))
    while True:
        u, v = (_uniform(2, 0, 1, generator).double() ** (1 / alpha)).tolist()
        if 0 < u + v <= 1:
            return float(u / (u + v))
