"""The usual way to read labelled images: decode every file with Pillow, every time it is needed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


def decode(data: bytes, size: int) -> npt.NDArray[np.uint8]:
    """Full decoding, grey, then resize: uint8 (size, size)."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("L").resize((size, size), Image.Resampling.BILINEAR))


def convert(data: bytes, size: int) -> bytes:
    """The usual preparation of a data set: open, convert, resize, save as JPEG of quality 90."""
    buffer = io.BytesIO()
    Image.fromarray(decode(data, size)).save(buffer, format="JPEG", quality=90)
    return buffer.getvalue()


def epoch(files: list[Path], size: int, batch_size: int) -> Iterator[npt.NDArray[np.float32]]:
    """One pass over the files in a random order, as float32 batches (images, 1, size, size)."""
    order = np.random.default_rng(0).permutation(len(files))
    for start in range(0, len(files), batch_size):
        pictures = [decode(files[i].read_bytes(), size) for i in order[start : start + batch_size]]
        yield np.stack(pictures)[:, None].astype(np.float32) / np.float32(255)
