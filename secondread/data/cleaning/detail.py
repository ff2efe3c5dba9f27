"""What a picture looks like, in 32 bytes and in 4 KiB: a perceptual hash, and a thumbnail that proves a likeness.

All chest films look alike at a glance: the coarse structure that common perceptual hashes look at (aHash, or a DCT
hash of the lowest frequencies, Zauner 2010) puts the films of different people together. Both measures here leave it
out. The hash has the signs of 256 DCT coefficients of middle frequency; likeness is the correlation of what is left
of two thumbnails when their surroundings are subtracted: ribs, vessels and grain, which no two films share.

Measured on 4,977 real chest films (4 million pairs) and 6,000 phantoms: films of different people correlate by 0.89
at most, phantoms of different people by 0.91; a film saved as JPEG of quality 50, halved in size or made brighter
correlates with itself by 0.96 or more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import uniform_filter

SIDE = 64  # pixels of the thumbnail; below it a picture has too little detail to tell people apart by
HASH_BYTES = 32

_COEFFICIENTS = 8 * HASH_BYTES
_LOWEST = 7  # sum of both frequencies; below it lies what all chests have in common
_BLOCK = 28  # frequencies of each axis that are computed; the 256 lie within
_SURROUNDINGS = 9  # pixels of the thumbnail; about the distance of two ribs


def thumbnail(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The whole picture, uint8 (64, 64), its aspect ratio not kept.

    Args:
        grey: uint8 (height, width).
    """
    # the gap lets Pillow average whole pixels first: four times faster, and a film decoded smaller looks the same
    return np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0))


def detail_hash(grey: npt.NDArray[np.uint8]) -> bytes:
    """The perceptual hash, 32 bytes; empty for a picture with a side below 64 pixels.

    Of films saved again, 999 in 1,000 differ in no more than 7 of the first 64 bits; those of other films differ in 32,
    on average.

    Args:
        grey: uint8 (height, width).
    """
    if min(grey.shape) < SIDE:
        return b""
    spectrum = _BASIS @ thumbnail(grey).astype(np.float32) @ _BASIS.T
    return np.packbits(spectrum.ravel()[_PICKED] > 0).tobytes()


def details(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What of each thumbnail its surroundings do not tell: the scalar product of two is their likeness, -1 to 1.

    Args:
        thumbnails: uint8 (images, 64, 64).
    Returns:
        float32 (images, 4096), each of mean 0 and length 1; all 0 where a thumbnail is even.
    """
    values = thumbnails.astype(np.float32)
    values -= uniform_filter(values, (0, _SURROUNDINGS, _SURROUNDINGS), mode="reflect")
    flat = values.reshape(len(values), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(length, 1e-3), np.float32)


def _basis() -> npt.NDArray[np.float32]:
    """Rows of the DCT-II: float32 (_BLOCK, 64). The scale does not matter, since only signs are kept."""
    frequency, position = np.arange(_BLOCK)[:, None], np.arange(SIDE)[None]
    return np.asarray(np.cos(np.pi * frequency * (2 * position + 1) / (2 * SIDE)), np.float32)


def _picked() -> npt.NDArray[np.intp]:
    """Places of the 256 coefficients, the coarsest first: its first 64 are the ones that bear most."""
    row, column = (part.ravel() for part in np.indices((_BLOCK, _BLOCK)))
    order = np.lexsort((np.abs(row - column), row + column))
    return order[(row + column)[order] >= _LOWEST][:_COEFFICIENTS]


_BASIS = _basis()
_PICKED = _picked()
