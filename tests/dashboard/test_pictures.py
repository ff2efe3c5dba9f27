"""Pictures drawn from a version: of the class asked for, and only their own bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secondread.dashboard.images import read_images
from secondread.dashboard.pictures import brightness, draw, read_pictures
from secondread.dashboard.shelf import Held
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.shards import shard_file
from secondread.errors import IntegrityError


def test_the_pictures_are_of_the_class_and_split_asked_for(shelf_root: Path, held: Callable[..., Held]) -> None:
    images = read_images(held(shelf_root, "first"))
    chosen = draw(images, label="oct-dme", split="test", count=5, seed=1)
    assert len(set(chosen)) == 5
    assert set(images.table.iloc[chosen]["label"]) == {"oct-dme"}
    assert set(images.table.iloc[chosen]["split"]) == {"test"}
    assert chosen == draw(images, label="oct-dme", split="test", count=5, seed=1)
    assert chosen != draw(images, label="oct-dme", split="test", count=5, seed=2)
    assert (
        len(draw(images, label="oct-dme", split="test", count=10_000, seed=1))
        == ((images.table["label"] == "oct-dme") & (images.table["split"] == "test")).sum()
    )


@pytest.mark.parametrize("published", [False, True])
def test_the_pixels_are_those_of_the_version(
    shelf_root: Path, published_root: Path, held: Callable[..., Held], published: bool
) -> None:
    version = DatasetVersion.open(shelf_root / "first")
    found = held(published_root, version.name) if published else held(shelf_root, "first")
    images = read_images(found)
    positions = [0, 5, len(images.table) - 1, *draw(images, label="cxr-normal", split="", count=9, seed=0)]
    everything = np.concatenate([version.split(name).images[:, 0] for name in images.splits])
    for picture, position in zip(read_pictures(found, images, positions), positions, strict=True):
        np.testing.assert_array_equal(picture, everything[position])


def test_only_the_bytes_of_the_pictures_are_read(shelf_root: Path, held: Callable[..., Held]) -> None:
    found = held(shelf_root, "first")
    images, asked = read_images(found), []

    class Counts:
        title = found.title

        def read(self, file: str, offset: int, size: int) -> bytes:
            asked.append(size)
            return found.read(file, offset, size)

    positions = draw(images, label="cxr-opacity", split="train", count=4, seed=0)
    read_pictures(Counts(), images, positions)
    assert sum(asked) <= 4 * 32 * 32 + 256


def test_pixels_that_do_not_belong_to_the_manifest_are_refused(
    shelf_root: Path, tmp_path: Path, held: Callable[..., Held]
) -> None:
    shutil.copytree(shelf_root / "first", tmp_path / "root" / "first")
    found = held(tmp_path / "root", "first")
    images = read_images(found)
    shard = tmp_path / "root" / "first" / shard_file(images.splits[0])
    np.save(shard, np.zeros((3, 32, 32), np.uint8))
    with pytest.raises(IntegrityError, match=r"not the \d+ images of its manifest"):
        read_pictures(found, images, [0])
    shard.write_bytes(b"no array" * 100)
    with pytest.raises(IntegrityError, match="damaged"):
        read_pictures(found, images, [0])
    shard.unlink()
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_pictures(found, images, [0])


def test_brightness_is_that_of_the_picture_without_its_black_margins(
    shelf_root: Path, tmp_path: Path, held: Callable[..., Held]
) -> None:
    shutil.copytree(shelf_root / "first", tmp_path / "root" / "first")
    found = held(tmp_path / "root", "first")
    images = read_images(found)
    count = int((images.table["split"] == "train").sum())
    pixels = np.zeros((count, 32, 32), np.uint8)
    pixels[:, 8:24] = 100
    np.save(tmp_path / "root" / "first" / shard_file("train"), pixels)
    train = replace(images, table=images.table[images.table["split"] == "train"].reset_index(drop=True))
    means = brightness(found, train, count=20)
    assert means.notna().sum() == 20
    assert set(means.dropna()) == {100.0}
