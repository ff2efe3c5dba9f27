"""Is there text in a picture? Lines of letters burnt into a film are told from markers, wires and bones.

Text is a risk twice over: it may name the patient, and it tells a network where a film was made. Nothing is read here,
only seen. A letter is made of strokes: within a few pixels of a row the grey rises steeply and falls again. A line of
text has several strokes side by side, in several rows one below the other. A side marker, a clip or a wire has one or
two, so that an L or an R alone is no text; nor are letters darker than what they stand on, which few films have.

Looked at by eye: of 60 public films that were flagged 59 have a line of text, of 60 that were not flagged 3, which are
faint or upright. Planted in phantoms of 512 px, every line of letters from 10 px of height on is seen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEAST_SIDE = 128  # pixels of the shorter side; letters are smeared away in smaller pictures
TEXT_ROWS = 4  # of pixels, one below the other, at a shorter side of 512 or less: the height of the smallest letters

# measured on films of 512 px; lengths grow with the picture
_STEEP = 40  # half grey levels from a pixel to the next but one; bones and wires rise by a quarter of it
_STROKE = 12  # pixels that a stroke is wide at most
_APART = 36  # pixels from a stroke to the next of the same line
_STROKES = 5  # of a line of text; a marker of two letters has four
_REFERENCE = 512  # pixels


def has_text(grey: npt.NDArray[np.uint8]) -> bool:
    """Whether a line of bright letters is seen.

    Args:
        grey: uint8 (height, width); with a side below `LEAST_SIDE` nothing is seen.
    """
    scale = min(grey.shape) / _REFERENCE
    rows = _rows_of_strokes(grey, scale)
    if not len(rows):
        return False
    ends = np.flatnonzero(np.diff(rows) > 2)
    heights = np.diff(np.r_[-1, ends, len(rows) - 1])
    return bool(heights.max() >= round(TEXT_ROWS * max(1.0, scale)))


def _rows_of_strokes(grey: npt.NDArray[np.uint8], scale: float) -> npt.NDArray[np.intp]:
    """The rows in which enough strokes stand side by side, in order."""
    none = np.zeros(0, np.intp)
    if min(grey.shape) < LEAST_SIDE:
        return none
    half = (np.ascontiguousarray(grey) >> 1).view(np.int8)  # 7 bits, so that a difference has room in 8
    change = half[:, 2:] - half[:, :-2]
    at = np.flatnonzero((change >= _STEEP) | (change <= -_STEEP))
    rising = change.ravel()[at] > 0
    begins = np.flatnonzero(rising[:-1] & ~rising[1:] & (np.diff(at) <= max(3, round(_STROKE * scale))))
    width = change.shape[1]
    row, column = np.divmod(at[begins], width)
    whole = at[begins + 1] // width == row  # begin and end in one row
    row, column = row[whole], column[whole]
    if len(row) < _STROKES:
        return none
    new = np.r_[True, (np.diff(row) > 0) | (np.diff(column) > round(_APART * scale))]
    strokes = np.bincount(np.cumsum(new) - 1)
    return np.unique(row[new][strokes >= _STROKES])
