"""Pictures to another size: Pillow's bilinear filter with antialiasing, twice as fast and exact on every processor.

Each output row mixes a few neighbouring input rows, so a block of output rows is a small matrix product; columns
likewise. The matrices hold whole numbers scaled by a power of two, and no sum needs more than the 24 bits of a float32.
So nothing is rounded but where it is said, and neither the processor nor the order in which BLAS sums changes a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

# 8 bits of grey and 16 of weight fill a float32; so do 8 of grey, 4 more kept between the passes, and 12 of weight.
_ROW_BITS = 16
_KEPT_BITS = 4
_COLUMN_BITS = 12
# adding it, then taking it away, leaves a multiple of 2 ** -_KEPT_BITS: a float32 has 24 bits
_ROUND_KEPT = np.float32(2 ** (23 - _KEPT_BITS))
# rows or columns made at a time, and about how many they are made of: fewer are more calls, more are more zeros
_BLOCK_OUTPUTS = 16
_BLOCK_INPUTS = 64
# multiplications above which OpenBLAS takes several threads, which here would wait for each other longer than they work
_ONE_THREAD = 1 << 18
# turned into floats once, not block by block: half of the cache that a core has to itself
_FEW_PIXELS = 1 << 17
_KNOWN_SIZES = 256  # pairs of sizes whose weights are kept: 40 kB each at 224 pixels, so that no caller can fill memory


@dataclass(frozen=True)
class _Block:
    """Some neighbouring output rows, and the input rows that they are made of; or columns.

    Attributes:
        outputs: of rows or columns.
        inputs: likewise.
        weights: float32 (outputs, inputs), each row sums to 1.
        transposed: the same as (inputs, outputs), in an order of its own: BLAS is slower on a turned view.
    """

    outputs: slice
    inputs: slice
    weights: npt.NDArray[np.float32]
    transposed: npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Side:
    """All that one side of the picture needs.

    Attributes:
        blocks: from its start to its end.
        at_once: pixels of the other side to multiply at a time.
    """

    blocks: tuple[_Block, ...]
    at_once: int


def resize(grey: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Scale a picture; each output pixel is a mean under a triangle, two pixels of the coarser grid wide.

    Args:
        grey: uint8 (rows, columns), at most 65,536 of either.
        height: pixels, at least 1.
        width: pixels, at least 1.
    Returns:
        uint8 (height, width), at most one grey value from what Pillow's `Resampling.BILINEAR` gives. The picture
        itself if it has that size.
    """
    if grey.shape == (height, width):
        return grey
    rows, columns = grey.shape
    side = _side(rows, height, _ROW_BITS)
    tall = np.empty((height, columns), np.float32)
    for at in range(0, columns, side.at_once):
        given: npt.NDArray[Any] = grey[:, at : at + side.at_once]
        made = tall[:, at : at + side.at_once]
        if given.size <= _FEW_PIXELS:
            given = given.astype(np.float32)
        for block in side.blocks:
            np.matmul(block.weights, given[block.inputs].astype(np.float32, copy=False), out=made[block.outputs])
    tall += _ROUND_KEPT
    # weights sum to 1, so the half that rounds the result to the nearest can be added here, for nothing
    tall -= _ROUND_KEPT - np.float32(0.5)
    side = _side(columns, width, _COLUMN_BITS)
    small = np.empty((height, width), np.float32)
    for at in range(0, height, side.at_once):
        stripe, made = tall[at : at + side.at_once], small[at : at + side.at_once]
        for block in side.blocks:
            np.matmul(stripe[:, block.inputs], block.transposed, out=made[:, block.outputs])
    return small.astype(np.uint8)


@lru_cache(_KNOWN_SIZES)
def _side(size: int, wanted: int, bits: int) -> _Side:
    """The weights that take one side from `size` to `wanted` pixels."""
    reach = max(size, wanted)
    length = min(_BLOCK_OUTPUTS, max(1, _BLOCK_INPUTS * wanted // size))
    blocks = []
    for start in range(0, wanted, length):
        stop = min(start + length, wanted)
        low, high = max(0, (start * size - reach) // wanted), min(size, -(-(stop * size + reach) // wanted))
        weights = _weights(np.arange(start, stop), np.arange(low, high), size=size, wanted=wanted, bits=bits)
        blocks.append(_Block(slice(start, stop), slice(low, high), weights, np.ascontiguousarray(weights.T)))
    return _Side(tuple(blocks), max(1, _ONE_THREAD // max(block.weights.size for block in blocks)))


def _weights(
    outputs: npt.NDArray[np.int64], inputs: npt.NDArray[np.int64], *, size: int, wanted: int, bits: int
) -> npt.NDArray[np.float32]:
    """Float32 (outputs, inputs), whole multiples of 2 ** -bits, found with whole numbers alone."""
    # Output i lies at (i + 1/2) / wanted of the side, input j at (j + 1/2) / size; the triangle falls to zero over one
    # pixel of the coarser of the two. Times 2 * size * wanted, all of it is whole.
    distances = np.abs((2 * inputs + 1) * wanted - (2 * outputs[:, None] + 1) * size)
    up_to = np.maximum(0, 2 * max(size, wanted) - distances).cumsum(axis=1)
    total = up_to[:, -1:]
    # the running sum is rounded, not each weight: so they sum to 1, and a uniform picture stays as it is
    rounded = ((up_to << (bits + 1)) + total) // (2 * total)
    weights: npt.NDArray[np.int64] = np.diff(rounded, axis=1, prepend=0)
    return (weights / (1 << bits)).astype(np.float32)
