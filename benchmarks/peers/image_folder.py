"""The usual way to read labelled images: decode every file with Pillow, every time it is needed.

Resizing is Pillow's own: the filter that `Image.resize` takes where none is named, bicubic, as most scripts have it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


def decode(data: bytes, size: int) -> npt.NDArray[np.uint8]:
    """Full decoding, grey, then resize: uint8 (size, size)."""
    return np.asarray(_resized(data, size, None))


def convert(data: bytes, size: int, *, resample: Image.Resampling | None = None) -> bytes:
    """The usual preparation of a data set: open, convert, resize, save as JPEG of quality 90.

    Args:
        data: an encoded image.
        size: pixels of both sides.
        resample: another filter than the default, such as the bilinear one, which has half the work.
    """
    buffer = io.BytesIO()
    _resized(data, size, resample).save(buffer, format="JPEG", quality=90)
    return buffer.getvalue()


def _resized(data: bytes, size: int, resample: Image.Resampling | None) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("L").resize((size, size), resample)


def epoch(files: list[Path], size: int, batch_size: int) -> Iterator[npt.NDArray[np.float32]]:
    """One pass over the files in a random order, as float32 batches (images, 1, size, size)."""
    order = np.random.default_rng(0).permutation(len(files))
    for start in range(0, len(files), batch_size):
        pictures = [decode(files[i].read_bytes(), size) for i in order[start : start + batch_size]]
        yield np.stack(pictures)[:, None].astype(np.float32) / np.float32(255)
