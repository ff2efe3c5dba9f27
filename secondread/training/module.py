"""The training of one classifier, as a Lightning module: loss, optimiser, figures of an epoch."""

from __future__ import annotations

import math
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from secondread.config.train import TrainConfig
from secondread.errors import InputError
from secondread.model.vit import ViT, ViTConfig
from secondread.taxonomy import Taxonomy
from secondread.training.augment import Batch, augment, mirror_allowed, mix
from secondread.training.batches import PADDING
from secondread.training.memory import peak_gpu_memory_megabytes, peak_memory_megabytes
from secondread.training.optimizer import adamw, clip_gradient
from secondread.training.sharded import same_buffers, shard


def class_weights(labels: npt.NDArray[np.int64], *, classes: int, exponent: float) -> Tensor:
    """Weight of each class in the loss; the mean over the images is 1.

    Args:
        labels: int64 (images,), each class at least once.
        classes: number of classes.
        exponent: of the inverse frequency, in [0, 1].
    Returns:
        float32 (classes,).
    """
    counts = np.bincount(labels, minlength=classes)
    weights = (len(labels) / counts) ** exponent
    return torch.tensor(weights * len(labels) / (weights @ counts), dtype=torch.float32)


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy with label smoothing (Szegedy et al. 2016, section 7), each class weighted.

    Args:
        logits: float (batch, classes).
        targets: float (batch, classes), rows sum to 1.
        weights: float (classes,).
        smoothing: share of the target spread over all classes.
    Returns:
        float (), mean over the batch.
    """
    importance = targets @ weights
    spread = torch.lerp(targets, torch.full_like(targets, 1 / targets.shape[1]), smoothing)
    return -(importance * (spread * functional.log_softmax(logits.float(), dim=1)).sum(dim=1)).mean()


class LossError(InputError):
    """The loss, or its gradient, is no number any more.

    Attributes:
        epoch: counted from 0.
        step: of the epoch, counted from 0.
        shared: by all processes, as the gradient is, so that any of their images may be at fault.
    """

    def __init__(self, value: float, *, epoch: int, step: int, shared: bool) -> None:
        name = "norm of the gradient" if shared else "loss"
        super().__init__(f"training broke off: the {name} is {value} in epoch {epoch + 1}, step {step + 1}")
        self.epoch = epoch
        self.step = step
        self.shared = shared


class Classifier(lightning.LightningModule):
    """A classifier while it learns.

    Args:
        architecture: of the network.
        config: loss, optimiser and augmentation.
        weights: float (classes,), of each class in the loss.
        taxonomy: says which classes may be mirrored.
    """

    def __init__(self, architecture: ViTConfig, config: TrainConfig, *, weights: Tensor, taxonomy: Taxonomy) -> None:
        super().__init__()
        self.model = ViT(architecture)
        if config.strategy != "fsdp":  # which spreads no tensors of another layout
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # faster convolutions
        self.config = config
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("mirrored", mirror_allowed(taxonomy), persistent=False)
        self.weights: Tensor
        self.mirrored: Tensor
        self._generator = torch.Generator()
        self.train_sums = torch.zeros(2, dtype=torch.float64)  # of the loss and of the images of the epoch so far
        self._val_loss = 0.0
        self._confusion = torch.zeros(len(weights), len(weights), dtype=torch.float64)

    def configure_model(self) -> None:
        """Spread the weights over the processes, where the recipe says so."""
        if self.config.strategy == "fsdp":
            assert self.device_mesh is not None  # noqa: S101 - the strategy makes it
            shard(self.model, self.device_mesh["data_parallel"])

    def on_validation_start(self) -> None:
        """Let all processes judge the same network."""
        if self.config.strategy == "fsdp":
            same_buffers(self.model)

    def on_train_epoch_start(self) -> None:
        """Begin to count."""
        self.train_sums = torch.zeros(2, dtype=torch.float64)

    def on_train_batch_start(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Start the step's own stream of random numbers, so that it does not depend on what ran before.

        Augmentation draws from a generator on the device, dropout and drop path from torch's global one.
        """
        place = (self.config.seed, self.current_epoch, self.trainer.fit_loop.batch_idx, self.global_rank)
        own, everybody = np.random.SeedSequence(place).generate_state(2).tolist()
        if self._generator.device != self.device:
            self._generator = torch.Generator(device=self.device)
        self._generator.manual_seed(own)
        torch.manual_seed(everybody)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of one batch: uint8 (batch, 1, size, size) and int64 (batch,).

        It is computed in `accumulate` parts. Their gradients are added up; that of the last part is left to Lightning.

        Raises:
            LossError: the loss is no number any more.
        """
        self.trainer.optimizers[0].zero_grad()
        pixels, labels = batch
        images = augment(pixels.float() / 255, self.mirrored[labels], self.config, self._generator)
        targets = functional.one_hot(labels, len(self.weights)).float()
        mixed = mix(Batch(images, targets), self.config, self._generator)
        parts = self.config.accumulate
        pairs = list(zip(mixed.images.chunk(parts), mixed.targets.chunk(parts), strict=True))
        for number, (part, wanted) in enumerate(pairs, start=1):
            loss = self._loss(part, wanted) * (len(part) / len(labels))
            if number < len(pairs):
                # DDP adds up over processes only after this method, so this stays here, as under its `no_sync`
                with torch.autocast(self.device.type, enabled=False):
                    loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def _loss(self, images: Tensor, targets: Tensor) -> Tensor:
        logits = self.model(images).logits
        loss = smoothed_cross_entropy(logits, targets, self.weights, self.config.label_smoothing)
        value = float(loss.detach())
        self._check(value, shared=False)
        self.train_sums += torch.tensor([value * len(images), len(images)], dtype=torch.float64)
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,  # noqa: ARG002
        gradient_clip_algorithm: str | None = None,  # noqa: ARG002
    ) -> None:
        """Cut the gradient to the recipe's norm.

        Raises:
            LossError: it is no number, although the loss was: after the step the next batch would be blamed for it.
        """
        self._check(clip_gradient(optimizer, self.config.gradient_clip), shared=True)

    def _check(self, value: float, *, shared: bool) -> None:
        if not math.isfinite(value):
            raise LossError(value, epoch=self.current_epoch, step=self.trainer.fit_loop.batch_idx, shared=shared)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Nothing: Lightning calls it after the parts before the last have left their gradients."""

    def on_validation_epoch_start(self) -> None:
        """Begin to count."""
        self._val_loss = 0.0
        self._confusion.zero_()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Count loss and answers of one batch; images that only fill it up are left out."""
        pixels, labels = batch
        counted = labels != PADDING
        logits = self.model(pixels.float() / 255).logits.float()
        loss = functional.cross_entropy(logits, labels, ignore_index=PADDING, reduction="sum")
        classes = len(self._confusion)
        cells = (labels * classes + logits.argmax(dim=1))[counted]
        self._val_loss += float(loss)
        self._confusion += torch.bincount(cells, minlength=classes**2).view(classes, classes).cpu()

    def epoch_figures(self) -> dict[str, Any]:
        """Figures of the epoch that just ended, over all processes.

        Returns:
            Train and val loss (nats), val accuracy, answers on val as counts (rows: the class, columns: the answer),
            and the most memory that the processes held so far (megabytes; of GPUs, 0 where there are none).
        """
        own = [self._val_loss, peak_memory_megabytes(), peak_gpu_memory_megabytes(self.device)]
        parts = [self.train_sums, torch.tensor(own, dtype=torch.float64), self._confusion.flatten()]
        sums: Any = self.trainer.strategy.reduce(torch.cat(parts).to(self.device), reduce_op="sum")
        train_loss, trained, val_loss, memory, gpu_memory, *cells = sums.tolist()
        confusion = np.reshape(cells, self._confusion.shape).astype(int)
        return {
            "train_loss": train_loss / trained,
            "val_loss": val_loss / int(confusion.sum()),
            "val_accuracy": float(confusion.trace() / confusion.sum()),
            "val_confusion": confusion.tolist(),
            "peak_memory_megabytes": memory,
            "peak_gpu_memory_megabytes": gpu_memory,
        }

    def configure_optimizers(self) -> Any:
        """AdamW with decay on matrices only, and a rate that warms up and then falls along half a cosine."""
        return adamw(
            self.model.named_parameters(),
            learning_rate=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            steps=int(self.trainer.estimated_stepping_batches),
            warmup_share=self.config.warmup_share,
        )
