"""Grey values of more than 8 bits to 0..255, through a table, so that a large film is not copied as floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def spread(values: npt.ArrayLike, low: float, high: float) -> npt.NDArray[np.uint8]:
    """The position of each value between `low` and `high`, as 0..255, rounded to the nearest; outside is cut off.

    Args:
        values: finite numbers of any shape.
        low: becomes 0; may be above `high`, which turns the scale round.
        high: becomes 255.
    """
    position = (np.asarray(values, np.float64) - low) / ((high - low) or 1.0)
    return np.rint(np.clip(position, 0.0, 1.0) * 255.0).astype(np.uint8)


def spread_full_range(stored: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """A picture whose least value becomes 0 and whose greatest 255.

    Args:
        stored: uint16 (height, width).
    """
    return look_up(spread(np.arange(1 << 16), int(stored.min()), int(stored.max())), stored)


def look_up(table: npt.NDArray[np.uint8], stored: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Each stored value's entry in the table.

    Args:
        table: uint8, one entry for each value that the type of `stored` can hold.
        stored: unsigned (height, width).
    """
    grey = np.empty(stored.shape, np.uint8)
    for row, values in enumerate(stored):  # by row: numpy widens an index to 8 bytes a pixel
        grey[row] = table[values]
    return grey


def values_present(stored: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """For each value that the unsigned type of `stored` can hold: whether a pixel has it."""
    present = np.zeros(256**stored.dtype.itemsize, np.bool_)
    for values in stored:
        present[values] = True
    return present
