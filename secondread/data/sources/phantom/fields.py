"""Grids, soft edges and random textures that the pictures are drawn with.

Only additions, products, quotients and comparisons of float32 are used, which IEEE 754 rounds alike everywhere. Sine
and exponential are not: numpy picks another routine for another processor, and one grey level would then differ.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

# float32 wherever it is used. numpy's stubs take some products of two float32 arrays for float64, hence the wider type.
Field = npt.NDArray[np.floating[Any]]
ByteImage = npt.NDArray[np.uint8]

# Mean and standard deviation of the sum of four bytes drawn evenly from 0..255.
_SUM_MEAN = 510.0
_SUM_DEVIATION = 147.8005


@lru_cache(maxsize=16)
def axis(size: int) -> Field:
    """Pixel centres from -1 to 1: float32 (size,)."""
    centres = (np.arange(size, dtype=np.float32) * np.float32(2) + np.float32(1)) / np.float32(size) - np.float32(1)
    centres.flags.writeable = False
    return centres


def ramp(values: Field) -> Field:
    """0 below 0, 1 above 1, and the smooth cubic 3t^2 - 2t^3 between."""
    t = np.maximum(values, np.float32(0))
    np.minimum(t, np.float32(1), out=t)
    slope = t * np.float32(-2)
    slope += np.float32(3)
    t *= t
    t *= slope
    return t


def bump(squares: Field) -> Field:
    """1 at 0, falling smoothly to 0 at 1 and above: (1 - s)^2, where `squares` holds squared distances s."""
    t = np.float32(1) - squares
    np.maximum(t, np.float32(0), out=t)
    t *= t
    return t


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """One number drawn evenly from [low, high)."""
    return low + (high - low) * float(rng.random())


def lattice(rng: np.random.Generator, cells: int) -> Field:
    """Random values at the corners of `cells` x `cells` cells: float32 (cells + 1, cells + 1) in [-1, 1)."""
    return (rng.random((cells + 1, cells + 1)) * 2 - 1).astype(np.float32)


def texture(values: Field, across: Field, down: Field) -> Field:
    """A lattice, smoothly interpolated: value noise whose grain is one cell.

    Args:
        values: float32 (cells + 1, cells + 1), as `lattice` gives it; it covers [-1, 1] both ways.
        across: float32 (width,), where the columns are; outside [-1, 1] the border goes on.
        down: float32 (height,), where the rows are.
    Returns:
        float32 (height, width), within the range of the values.
    """
    left, along = _cell(across, values.shape[1] - 1)
    top, below = _cell(down, values.shape[0] - 1)
    start = values[:, left]
    rows = start + (values[:, left + 1] - start) * along
    upper, picture = rows[top], rows[top + 1]
    picture -= upper
    picture *= below[:, None]
    picture += upper
    return picture


def _cell(places: Field, cells: int) -> tuple[npt.NDArray[np.intp], Field]:
    """The cell that each place is in, and how far into it, eased."""
    scaled = (places + np.float32(1)) * np.float32(cells / 2)
    scaled = np.minimum(np.maximum(scaled, np.float32(0)), np.float32(cells) - np.float32(0.001))
    index = scaled.astype(np.intp)
    return index, ramp(scaled - index.astype(np.float32))


def grain(rng: np.random.Generator, size: int) -> Field:
    """Noise of mean 0 and deviation 1, each pixel apart: float32 (size, size); the sum of four bytes, nearly normal."""
    drawn = np.frombuffer(rng.bytes(4 * size * size), np.uint8).reshape(4, size, size)
    total: Field = drawn[0].astype(np.float32)
    for plane in drawn[1:]:
        total += plane
    total -= np.float32(_SUM_MEAN)
    total *= np.float32(1 / _SUM_DEVIATION)
    return total


def to_bytes(picture: Field) -> ByteImage:
    """Brightness 0 (black) to 1 (white) as uint8; what is beyond is clipped."""
    levels: Field = picture * np.float32(255)
    levels += np.float32(0.5)
    np.maximum(levels, np.float32(0), out=levels)
    np.minimum(levels, np.float32(255), out=levels)
    return np.asarray(levels, dtype=np.uint8)
