"""What a device can do, and what a training asks of it: bf16 products, operations an image, the dearest kernels."""

# ruff: noqa: ARG002 - Lightning passes these arguments by name

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from secondread.model.vit import ViT, ViTConfig

_COUNTED_IMAGES = 2


def bf16_peak(device: str, *, side: int, repeats: int) -> float:
    """Operations a second of a large bf16 matrix product, the fastest of several: what this very device reaches.

    Args:
        device: such as `cuda`.
        side: of both square matrices.
        repeats: products to time.
    """
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(repeats + 1):
        _wait(device)
        start = time.perf_counter()
        left @ right
        _wait(device)
        seconds.append(time.perf_counter() - start)
    return float(2 * side**3 / min(seconds[1:]))


def operations_per_image(architecture: ViTConfig) -> float:
    """Floating-point operations of one image forward and backward; a multiplication and its addition are two.

    Counted on tensors without content, where attention is two plain products: what a fused kernel computes a second
    time to save memory does not count as work.
    """
    with torch.device("meta"):
        model, images = ViT(architecture), torch.empty(_COUNTED_IMAGES, 1, *[architecture.image_size] * 2)
    with FlopCounterMode(display=False) as counter:
        model(images).logits.sum().backward()
    return counter.get_total_flops() / _COUNTED_IMAGES


@dataclass(frozen=True)
class Kernel:
    """What one kind of operation costs.

    Attributes:
        name: torch's, or the kernel's own.
        calls: a step.
        milliseconds: a step, of the device, or of the processor where the device is one.
    """

    name: str
    calls: float
    milliseconds: float


class StepProfile(Callback):
    """Profiles some steps of a training, after the first epoch.

    Args:
        steps: to profile.
        device: `cuda`, or `cpu`.
    """

    def __init__(self, steps: int, device: str) -> None:
        self._steps = steps
        self._left = steps
        self._on_gpu = device == "cuda"
        activities = [ProfilerActivity.CUDA] if self._on_gpu else []
        self._profile = profile(activities=[ProfilerActivity.CPU, *activities])
        self._running = False

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin with the second epoch."""
        if trainer.current_epoch and self._left and not self._running:
            self._running = True
            self._profile.start()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End after as many steps as were asked for."""
        if self._running:
            self._left -= 1
            if not self._left:
                self._running = False
                self._profile.stop()

    def kernels(self) -> list[Kernel]:
        """All operations, the dearest first.

        Raises:
            RuntimeError: the training had too few steps.
        """
        if self._left:
            raise RuntimeError(f"{self._left} of {self._steps} steps were not profiled: the training was too short")
        found = [
            Kernel(
                each.key,
                each.count / self._steps,
                (each.self_device_time_total if self._on_gpu else each.self_cpu_time_total) / 1000 / self._steps,
            )
            for each in self._profile.key_averages()
        ]
        return sorted(found, key=lambda kernel: kernel.milliseconds, reverse=True)


def table(kernels: Iterable[Kernel], *, rows: int) -> str:
    """The dearest ones as a Markdown table, with the share of all."""
    every = list(kernels)
    total = sum(kernel.milliseconds for kernel in every)
    lines = ["| operation | calls a step | ms a step | share |", "|---|---:|---:|---:|"]
    for kernel in every[:rows]:
        name = kernel.name if len(kernel.name) <= 80 else f"{kernel.name[:77]}..."
        share = kernel.milliseconds / total if total else 0.0
        lines.append(f"| `{name}` | {kernel.calls:.1f} | {kernel.milliseconds:.2f} | {share:.1%} |")
    return "\n".join([*lines, ""])


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
