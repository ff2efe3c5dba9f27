"""The pixels of a version on disk: one memory-mappable array a split, written image by image in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.atomic import sha256_bytes
from secondread.data.manifest import SPLITS


def shard_file(split: str) -> str:
    """Name of the file that holds a split's pixels: uint8 (images, size, size)."""
    return f"images-{split}.npy"


def in_shard_order(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows by split and, within it, by the picture's hash: that mixes classes and forgets the source's order."""
    parts = [rows[rows["split"] == split].sort_values(["pixel_hash", "image_id"], kind="stable") for split in SPLITS]
    return pd.concat(parts, ignore_index=True)


def write_shards(folder: Path, rows: pd.DataFrame, images: Iterable[npt.NDArray[np.uint8]], size: int) -> list[str]:
    """Write a shard a split, one image after the other.

    Args:
        folder: of the dataset version.
        rows: in shard order.
        images: uint8 (size, size) each, in the order of the rows; taken one by one.
        size: pixels of both sides.
    Returns:
        SHA-256, hex, of each image's pixels, in the order of the rows.
    """
    stream, digests = iter(images), []
    for split, part in rows.groupby("split", sort=False):
        with (folder / shard_file(str(split))).open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(part), size, size)}
            np.lib.format.write_array_header_1_0(file, header)
            for image in islice(stream, len(part)):
                pixels = image.tobytes()
                file.write(pixels)
                digests.append(sha256_bytes(pixels))
    return digests


def read_shards(folder: Path, rows: pd.DataFrame) -> Iterator[npt.NDArray[np.uint8]]:
    """Every image of a version, uint8 (size, size) each, in shard order."""
    for split in rows["split"].unique():
        yield from np.load(folder / shard_file(split), mmap_mode="r", allow_pickle=False)
