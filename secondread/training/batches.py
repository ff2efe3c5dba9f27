"""Batches from memory-mapped pixels. A batch is one slice of the map, so no worker processes are needed.

The order of an epoch depends on the seed, the epoch and nothing else; under DDP each process takes its share of every
batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from secondread.data.versions.dataset import SplitData

# Label of a repeated image that only fills up the last batch, so that all processes have as many batches.
PADDING = -1


@dataclass(frozen=True)
class Share:
    """Which part of every batch is this process's.

    Attributes:
        rank: of this process, from 0.
        processes: how many there are.
    """

    rank: int = 0
    processes: int = 1


class _Images(Dataset[tuple[Tensor, Tensor]]):
    """Pixels and labels by whole batches of positions."""

    def __init__(self, data: SplitData) -> None:
        self._images = data.images
        self._labels = data.labels

    def __getitem__(self, positions: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """uint8 (batch, 1, size, size) and int64 (batch,)."""
        kept = np.where(positions == PADDING, 0, positions)
        labels = np.where(positions == PADDING, PADDING, self._labels[kept])
        return torch.from_numpy(self._images[kept]), torch.from_numpy(labels)


class TrainOrder(Sampler[npt.NDArray[np.int64]]):
    """Positions of each training batch, shuffled anew every epoch; what does not fill a batch waits for the next one.

    Args:
        images: number of images.
        batch_size: images a step, all processes together; lowered to `images` where there are fewer.
        seed: of the order.
        share: which part is this process's.
    """

    def __init__(self, images: int, *, batch_size: int, seed: int, share: Share) -> None:
        self._images = images
        self._batch_size = min(batch_size, images)
        self._seed = seed
        self._share = share
        self._epoch = 0
        self._shuffled = -1, np.empty(0, np.int64)  # an epoch and its order
        self._first = (0, 0)  # epoch and the steps of it that were done before

    def go_on(self, epoch: int, step: int) -> None:
        """Leave out the steps of an epoch that were done before a run was cut."""
        self._epoch = epoch
        self._first = (epoch, step)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; the trainer calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._images // self._batch_size

    def __iter__(self) -> Iterator[npt.NDArray[np.int64]]:
        epoch, done = self._first
        for step in range(done if epoch == self._epoch else 0, len(self)):
            yield self.batch(self._epoch, step)

    def batch(self, epoch: int, step: int) -> npt.NDArray[np.int64]:
        """This process's positions in one step, both counted from 0."""
        return self.whole_batch(epoch, step)[self._share.rank :: self._share.processes]

    def whole_batch(self, epoch: int, step: int) -> npt.NDArray[np.int64]:
        """Positions of all processes together in one step, both counted from 0."""
        if epoch != self._shuffled[0]:
            self._shuffled = epoch, np.random.default_rng((self._seed, epoch)).permutation(self._images)
        batch = self._shuffled[1][step * self._batch_size : (step + 1) * self._batch_size]
        # whole parts only: processes with fewer images would wait for the others
        even = len(batch) // self._share.processes * self._share.processes
        return batch[:even]


class EvenOrder(Sampler[npt.NDArray[np.int64]]):
    """Positions of each batch in order, every image once over all processes, filled up with `PADDING`."""

    def __init__(self, images: int, *, batch_size: int, share: Share) -> None:
        per_process = -(-images // share.processes)
        positions = np.full(per_process * share.processes, PADDING, np.int64)
        positions[:images] = np.arange(images)
        own = positions[share.rank :: share.processes]
        self._batches = [own[start : start + batch_size] for start in range(0, len(own), batch_size)]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[npt.NDArray[np.int64]]:
        return iter(self._batches)


def train_batches(data: SplitData, *, batch_size: int, seed: int, share: Share) -> DataLoader[tuple[Tensor, Tensor]]:
    """Shuffled batches: uint8 (batch, 1, size, size) and int64 labels (batch,)."""
    order = TrainOrder(len(data.labels), batch_size=batch_size, seed=seed, share=share)
    return DataLoader(_Images(data), sampler=order, batch_size=None)


def even_batches(data: SplitData, *, batch_size: int, share: Share) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches in order, as many on every process; label `PADDING` marks an image to leave out."""
    return DataLoader(
        _Images(data), sampler=EvenOrder(len(data.labels), batch_size=batch_size, share=share), batch_size=None
    )
