"""Masked image modelling as a Lightning module: a network learns to draw what is hidden from it.

Xie et al. 2022, "SimMIM: A Simple Framework for Masked Image Modeling": the pixels of some tokens are covered, and one
linear layer on top of the tokens predicts them. The pixels are those of each cell less its mean, over its spread (He et
al. 2022), so that texture counts and not exposure. No decoder and no second network: the convolutional stem sees the
covered picture as it would see any other.
"""

from __future__ import annotations

import math
from typing import Any

import lightning
import numpy as np
import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from secondread.config.pretrain import PretrainConfig
from secondread.config.train import TrainConfig
from secondread.errors import InputError
from secondread.logging import get_logger
from secondread.model.vit import ViT, ViTConfig
from secondread.training.augment import augment
from secondread.training.optimizer import adamw, clip_gradient

log = get_logger(__name__)

_COVER = 0.5  # grey value of what is hidden: the middle, which the network takes for nothing
_LEAST_SPREAD = 0.02  # grey values; a cell of even black is not blown up to noise


class MaskedImages(lightning.LightningModule):
    """A network while it learns from images alone.

    Args:
        architecture: of the network; each side of the image must be a multiple of its grid.
        config: masks and optimiser.
    Raises:
        InputError: the image is no multiple of the grid.
    """

    def __init__(self, architecture: ViTConfig, config: PretrainConfig) -> None:
        super().__init__()
        if architecture.image_size % architecture.grid:
            raise InputError(
                f"images of {architecture.image_size} pixels do not divide into {architecture.grid} cells a side, as "
                "masking needs them. Choose another image size, such as a multiple of 16."
            )
        self.model = ViT(architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config = config
        self.cell = architecture.image_size // architecture.grid
        self.draw = nn.Linear(architecture.dim, self.cell**2)
        self.losses: list[float] = []
        # what is to be drawn is the film as it is, without blur, noise, frames or grey rectangles
        self._augmentation = TrainConfig(sharpness_share=0.0, noise_share=0.0, erase_share=0.0, frame_share=0.0)
        self._generator = torch.Generator()
        self._sums = torch.zeros(2, dtype=torch.float64)

    def on_train_epoch_start(self) -> None:
        """Start the epoch's own stream of random numbers."""
        spread = np.random.SeedSequence((self.config.seed, self.current_epoch)).generate_state(1)
        self._generator = torch.Generator(device=self.device).manual_seed(int(spread[0]))
        self._sums.zero_()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of one batch: uint8 (batch, 1, size, size); labels are not looked at.

        Raises:
            InputError: the loss is no number any more.
        """
        pixels, _ = batch
        unmirrored = torch.zeros(len(pixels), dtype=torch.bool, device=self.device)
        images = augment(pixels.float() / 255, unmirrored, self._augmentation, self._generator)
        hidden = self.masks(len(images))
        error = ((self(images, hidden) - cell_targets(images, self.cell)) ** 2).mean(dim=2)
        loss: Tensor = error[hidden].mean()
        self._check("loss", value := float(loss.detach()))
        self._sums += torch.tensor([value * len(images), len(images)], dtype=torch.float64)
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,  # noqa: ARG002
        gradient_clip_algorithm: str | None = None,  # noqa: ARG002
    ) -> None:
        """Cut the gradient to the recipe's norm.

        Raises:
            InputError: it is no number.
        """
        self._check("norm of the gradient", clip_gradient(optimizer, self.config.gradient_clip))

    def _check(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise InputError(
                f"pre-training broke off: the {name} is {value} in epoch {self.current_epoch + 1}, step "
                f"{self.trainer.fit_loop.batch_idx + 1}. Lower pretrain.learning_rate (now "
                f"{self.config.learning_rate:g})."
            )

    def masks(self, count: int) -> Tensor:
        """Which cells of each image are hidden, as many in each: bool (count, grid * grid)."""
        cells = self.model.config.grid**2
        hidden = min(cells - 1, max(1, round(self.config.masked_share * cells)))
        order = torch.rand(count, cells, generator=self._generator, device=self.device).argsort(dim=1)
        chosen: Tensor = order < hidden
        return chosen

    def forward(self, images: Tensor, hidden: Tensor) -> Tensor:
        """What the network draws in every cell: float32 (batch, cells, cell * cell)."""
        grid = rearrange(hidden, "batch (row column) -> batch 1 row column", row=self.model.config.grid)
        cover = repeat(grid, "batch 1 row column -> batch 1 (row h) (column w)", h=self.cell, w=self.cell)
        tokens = self.model.norm(self.model.encode(torch.where(cover, _COVER, images)))
        drawn: Tensor = self.draw(tokens[:, 1:])
        return drawn.float()

    def on_train_epoch_end(self) -> None:
        """Keep the epoch's mean loss, and say how far it is."""
        self.losses.append(float(self._sums[0] / self._sums[1]))
        passes = self.trainer.max_epochs
        log.info("pre-training: pass %d of %d, loss %.3f", len(self.losses), passes, self.losses[-1])

    def configure_optimizers(self) -> Any:
        """As in training; the drawing layer is one more matrix."""
        named = [*self.model.named_parameters(), *self.draw.named_parameters(prefix="draw")]
        return adamw(
            # the classifier's head has nothing to learn here
            ((name, value) for name, value in named if not name.startswith("head.")),
            learning_rate=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            steps=int(self.trainer.estimated_stepping_batches),
            warmup_share=self.config.warmup_share,
        )


def cell_targets(images: Tensor, cell: int) -> Tensor:
    """What is to be drawn: float32 (batch, cells, cell * cell), each cell of mean 0 and spread 1."""
    cells = rearrange(images, "batch 1 (row h) (column w) -> batch (row column) (h w)", h=cell, w=cell)
    centred = cells - cells.mean(dim=2, keepdim=True)
    return centred / (functional.relu(centred.std(dim=2, keepdim=True) - _LEAST_SPREAD) + _LEAST_SPREAD)
