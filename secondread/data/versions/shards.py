"""The pixels of a version on disk: one memory-mappable array a split, written part by part in bounded memory."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.atomic import sha256_bytes
from secondread.data.manifest import SPLITS

_PART_IMAGES = 256  # a second's work: enough that handing it out costs nothing, and little is lost with a worker
_PART_BYTES = 16 << 20  # of pixels, a few of which are in memory for each worker


@dataclass(frozen=True)
class ShardPart:
    """Images that follow each other in a shard.

    Attributes:
        split: of the shard.
        start: place of the first of them in the shard.
        paths: of the stored images.
    """

    split: str
    start: int
    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)


def shard_file(split: str) -> str:
    """Name of the file that holds a split's pixels: uint8 (images, size, size)."""
    return f"images-{split}.npy"


def in_shard_order(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows by split and, within it, by the picture's hash: that mixes classes and forgets the source's order."""
    parts = [rows[rows["split"] == split].sort_values(["pixel_hash", "image_id"], kind="stable") for split in SPLITS]
    return pd.concat(parts, ignore_index=True)


def shard_parts(rows: pd.DataFrame, size: int) -> list[ShardPart]:
    """The images of a version, cut into parts that are written one at a time.

    Args:
        rows: in shard order; columns `split` and `path`.
        size: pixels of both sides.
    """
    images = max(1, min(_PART_IMAGES, _PART_BYTES // size**2))
    return [
        ShardPart(str(split), start, tuple(part["path"].iloc[start : start + images]))
        for split, part in rows.groupby("split", sort=False)
        for start in range(0, len(part), images)
    ]


def create_shards(folder: Path, rows: pd.DataFrame, size: int) -> None:
    """Make a shard a split, its pixels to be written; one that a run which was cut has made stays as it is."""
    for split, count in rows["split"].value_counts().items():
        path, header = folder / shard_file(str(split)), _header(int(count), size)
        length = len(header) + int(count) * size**2
        if path.is_file() and path.stat().st_size == length:
            continue
        with path.open("wb") as file:
            file.write(header)
            file.truncate(length)


def write_part(folder: Path, part: ShardPart, images: npt.NDArray[np.uint8]) -> list[str]:
    """Write a part's pixels to their place.

    Args:
        folder: of the dataset version, with its shards.
        part: which images.
        images: uint8 (images, size, size).
    Returns:
        SHA-256, hex, of each image's pixels.
    """
    with (folder / shard_file(part.split)).open("r+b") as file:
        _seek(file, part, images.shape[1])
        file.write(np.ascontiguousarray(images).data)
    return _digests(images)


def read_part(folder: Path, part: ShardPart, size: int) -> list[str]:
    """SHA-256, hex, of each image's pixels as they stand in the shard."""
    with (folder / shard_file(part.split)).open("rb") as file:
        _seek(file, part, size)
        data = file.read(len(part) * size**2)
    return _digests(np.frombuffer(data, np.uint8).reshape(len(part), size, size))


def _digests(images: npt.NDArray[np.uint8]) -> list[str]:
    return [sha256_bytes(image.tobytes()) for image in images]


def _seek(file: IO[bytes], part: ShardPart, size: int) -> None:
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    file.seek(part.start * size**2, os.SEEK_CUR)


def _header(count: int, size: int) -> bytes:
    """As numpy begins a file of uint8 (count, size, size)."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (count, size, size)})
    return buffer.getvalue()


def read_shards(folder: Path, rows: pd.DataFrame) -> Iterator[npt.NDArray[np.uint8]]:
    """Every image of a version, uint8 (size, size) each, in shard order."""
    for split in rows["split"].unique():
        yield from np.load(folder / shard_file(split), mmap_mode="r", allow_pickle=False)
