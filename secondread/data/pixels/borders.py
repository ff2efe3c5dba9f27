"""A black or white frame around a film, cut off: it tells where a film was scanned, not what is on it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

KEPT_SHARE = 0.4  # of each side at least: frames wider than this allows are cut only so far
_BLACK = 16  # at most: a frame after JPEG, whose noise is some grey levels
_WHITE = 250  # at least: white is saturated in a scan, and an overexposed abdomen comes close to it
_STRAY = 0.005  # share of a line's pixels that may have another tone, in a line of the frame
_WRITING = 0.1  # share in a line that crosses a burnt-in letter


def trim_borders(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Cut off a uniform frame.

    From each edge, lines are cut that are wholly black or wholly white but for noise, and the letters between such
    lines. A line through anatomy ends it: a fingertip is as narrow as a letter, but no uniform line follows on it.

    Args:
        grey: uint8 (rows, columns).
    Returns:
        A view of it, uint8, with at least 0.4 of the rows and of the columns.
    """
    rows = _inside(grey)
    columns = _inside(grey[rows].T)
    return grey[rows, columns]


def _inside(lines: npt.NDArray[np.uint8]) -> slice:
    """The lines between the frame's, from the picture or from the picture turned."""
    not_black = (lines > _BLACK).mean(axis=1)
    not_white = (lines < _WHITE).mean(axis=1)
    before = max(_frame_lines(not_black), _frame_lines(not_white))
    after = max(_frame_lines(not_black[::-1]), _frame_lines(not_white[::-1]))
    return slice(before, len(lines) - after)


def _frame_lines(strays: npt.NDArray[np.float64]) -> int:
    """How many lines from the edge belong to the frame.

    Args:
        strays: (lines,), the share of each line that does not have the frame's tone.
    """
    near = strays[: int(len(strays) * (1 - KEPT_SHARE) / 2)]
    film = np.flatnonzero(near > _WRITING)
    frame = np.flatnonzero(near[: film[0]] <= _STRAY) if len(film) else np.flatnonzero(near <= _STRAY)
    return int(frame[-1]) + 1 if len(frame) else 0
