"""Contrast-limited adaptive histogram equalisation: each region of a film uses the whole grey scale, within a limit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_MOST_TILES = 8  # along a side: the usual 8 x 8
_LEAST_TILE = 16  # pixels a side: a histogram of fewer than 256 pixels is mostly noise
_CLIP = 2  # times what a bin would hold were all alike: the usual, mild; it bounds how much noise is raised
_LEVELS = 256


def equalise(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Apply CLAHE, with whole numbers alone, so that it gives the same pixels on every machine.

    The film is cut into at most 8 x 8 tiles of at least 16 pixels a side. Each tile's histogram is clipped at twice the
    mean; what is cut off is spread over all levels, once; the sums of it are the tile's curve. A pixel takes the
    curves of the four tiles whose centres are around it, by distance.

    Args:
        grey: uint8 (rows, columns).
    Returns:
        uint8 (rows, columns).
    Source: Zuiderveld, Contrast limited adaptive histogram equalization, Graphics Gems IV, 1994.
    """
    rows, columns = grey.shape
    down, across = (min(_MOST_TILES, max(1, side // _LEAST_TILE)) for side in (rows, columns))
    height, width = -(-rows // down), -(-columns // across)
    curves = _curves(_tiles(grey, down, across))
    above, below, part_down = _neighbours(rows, height, down)
    left, right, part_across = _neighbours(columns, width, across)
    part_down = part_down[:, None]

    def along_row(tile: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
        """Each pixel by the curves of the tiles to its left and right, times 2 * width."""
        row = tile[:, None] * across
        at_left, at_right = (curves.take((row + tiles) * _LEVELS + grey) for tiles in (left, right))
        mixed: npt.NDArray[np.int64] = (2 * width - part_across) * at_left + part_across * at_right
        return mixed

    total = (2 * height - part_down) * along_row(above) + part_down * along_row(below)
    return _rounded(total, 4 * height * width).astype(np.uint8)


def _tiles(grey: npt.NDArray[np.uint8], down: int, across: int) -> npt.NDArray[np.uint8]:
    """(down * across, pixels of a tile); where the sides are no multiples, the film is mirrored at its end."""
    rows, columns = grey.shape
    mirrored = np.pad(grey, ((0, -rows % down), (0, -columns % across)), mode="reflect")
    height, width = mirrored.shape[0] // down, mirrored.shape[1] // across
    return mirrored.reshape(down, height, across, width).swapaxes(1, 2).reshape(down * across, height * width)


def _curves(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """(tiles, 256): the level that each level of a tile becomes."""
    count, area = tiles.shape
    numbered = tiles + np.arange(count)[:, None] * _LEVELS
    histograms = np.bincount(numbered.ravel(), minlength=count * _LEVELS).reshape(count, _LEVELS)
    limit = max(1, _CLIP * area // _LEVELS)
    excess = np.maximum(histograms - limit, 0).sum(axis=1, keepdims=True)
    # times 256, so that the share of the excess that each level gets is whole
    sums = np.minimum(histograms, limit).cumsum(axis=1) * _LEVELS + excess * np.arange(1, _LEVELS + 1)
    return _rounded(sums * (_LEVELS - 1), area * _LEVELS)


def _neighbours(
    side: int, tile: int, count: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """For each pixel of a side the tiles before and after it, and how far it is between them: 0 to 2 * tile."""
    from_first = 2 * np.arange(side) + 1 - tile  # from the first tile's centre to the pixel's, in half pixels
    before, part = np.divmod(from_first, 2 * tile)
    return np.maximum(before, 0), np.minimum(before + 1, count - 1), part


def _rounded(numerator: npt.NDArray[np.int64], denominator: int) -> npt.NDArray[np.int64]:
    """The quotient, to the nearest whole number."""
    quotient: npt.NDArray[np.int64] = (numerator + denominator // 2) // denominator
    return quotient
