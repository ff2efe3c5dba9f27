"""The configuration that this project started from, written as one would with `vit-pytorch`, and a plain training loop.

64 pixels; a stem of 3x3 Conv-BatchNorm-ReLU blocks with a total stride of 4; a token for each of its 256 pixels, and
[CLS]; 16 layers of width 64 with 16 heads of 64 and an MLP of 256; 4.9 M parameters. The stem has its stride early, as
the preset `vit-seed-64` has it, which makes it cheaper than the original's, whose first two blocks see every pixel.

`vit-pytorch` is installed without its dependencies (requirements-peers.txt). `import vit_pytorch` would import all its
models, and some of them need torchvision: the one file with the transformer is loaded by itself.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import statistics
import time
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondread.errors import DependencyError

SIZE, DIM, DEPTH, HEADS, HEAD_DIM, MLP_DIM = 64, 64, 16, 16, 64, 256
STEM = ((32, 2), (64, 1), (128, 2), (128, 1))  # channels and stride of each block
TOKENS = (SIZE // 4) ** 2 + 1
LEARNING_RATE = 1e-4


class SeedViT(nn.Module):
    """Normalised images, float (batch, 1, 64, 64), to logits, float (batch, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        blocks, channels = [], 1
        for outputs, stride in STEM:
            convolution = nn.Conv2d(channels, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
            blocks += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
            channels = outputs
        self.stem = nn.Sequential(*blocks, nn.Conv2d(channels, DIM, kernel_size=1))
        self.cls_token = nn.Parameter(torch.randn(1, 1, DIM))
        self.pos_embedding = nn.Parameter(torch.randn(1, TOKENS, DIM))
        self.transformer = vit_module().Transformer(DIM, DEPTH, HEADS, HEAD_DIM, MLP_DIM)
        self.head = nn.Linear(DIM, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Classify a batch."""
        pixels = self.stem(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(pixels), -1, -1), pixels], dim=1) + self.pos_embedding
        logits: Tensor = self.head(self.transformer(tokens)[:, 0])
        return logits


def vit_module() -> ModuleType:
    """`vit_pytorch/vit.py` of the installed package.

    Raises:
        DependencyError: the package is not installed.
    """
    try:
        path = importlib.metadata.distribution("vit-pytorch").locate_file("vit_pytorch/vit.py")
    except importlib.metadata.PackageNotFoundError as error:
        raise DependencyError("vit-pytorch, which is measured against, is missing: run `make setup`.") from error
    spec = importlib.util.spec_from_file_location("vit_pytorch_vit", str(path))
    if spec is None or spec.loader is None:
        raise DependencyError(f"{path} cannot be loaded: run `make setup` again.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def images_per_second(images: Tensor, labels: Tensor, *, classes: int, steps: int, bf16: bool) -> float:
    """Speed of the usual loop: AdamW and cross entropy, the whole batch in memory already.

    Args:
        images: float (batch, 1, 64, 64), normalised, on the device to train on.
        labels: int64 (batch,), there too.
        classes: how many.
        steps: that count, after one that does not; the median of them is taken.
        bf16: autocast to it, as `bf16-mixed` does.
    """
    torch.manual_seed(0)
    model = SeedViT(classes).to(images.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=bf16):
            loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the device
        seconds.append(time.perf_counter() - start)
    return len(images) / statistics.median(seconds[1:])
