"""Every image once an epoch, the same order for the same seed, and as many batches on every process."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secondread.data.versions.dataset import DatasetVersion
from secondread.training.batches import PADDING, EvenOrder, Share, TrainOrder, even_batches, train_batches


def test_an_epoch_has_each_image_once_in_an_order_of_its_own() -> None:
    order = TrainOrder(64, batch_size=16, seed=0, share=Share())
    first = np.concatenate(list(order))
    assert sorted(first) == list(range(64))
    np.testing.assert_array_equal(np.concatenate(list(order)), first)
    order.set_epoch(1)
    assert not np.array_equal(np.concatenate(list(order)), first)
    assert not np.array_equal(np.concatenate(list(TrainOrder(64, batch_size=16, seed=1, share=Share()))), first)


def test_processes_share_each_batch_without_overlap() -> None:
    alone = list(TrainOrder(70, batch_size=16, seed=0, share=Share()))
    shares = [list(TrainOrder(70, batch_size=16, seed=0, share=Share(rank, 2))) for rank in range(2)]
    for whole, one, other in zip(alone, *shares, strict=True):
        assert sorted(whole) == sorted([*one, *other])
        assert len(one) == len(other) == 8


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    batches = list(TrainOrder(5, batch_size=64, seed=0, share=Share()))
    assert [sorted(batch) for batch in batches] == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("images", [1, 8, 9, 23])
def test_validation_counts_each_image_once_over_all_processes(images: int) -> None:
    shares = [list(EvenOrder(images, batch_size=4, share=Share(rank, 2))) for rank in range(2)]
    assert len(shares[0]) == len(shares[1])
    positions = np.concatenate([*shares[0], *shares[1]])
    assert sorted(positions[positions != PADDING]) == list(range(images))


def test_pixels_and_labels_belong_together(dataset: DatasetVersion) -> None:
    data = dataset.split("train")
    by_pixels = {image.tobytes(): label for image, label in zip(data.images, data.labels, strict=True)}
    for pixels, labels in train_batches(data, batch_size=8, seed=0, share=Share()):
        assert pixels.dtype == torch.uint8
        assert pixels.shape == (8, 1, 32, 32)
        assert [by_pixels[image.numpy().tobytes()] for image in pixels] == labels.tolist()


def test_padding_is_marked(dataset: DatasetVersion) -> None:
    val = dataset.split("val")
    odd = type(val)(val.images[:3], val.labels[:3], val.rows[:3])
    labels = torch.cat([labels for _, labels in even_batches(odd, batch_size=8, share=Share(1, 2))])
    assert labels.tolist() == [val.labels[1], PADDING]
