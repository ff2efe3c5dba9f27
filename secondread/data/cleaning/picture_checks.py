"""Is a picture that decodes a film at all? Blank and tiny ones are told, with what would have been enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondread.errors import ImageError

_LOOKED_AT = 64  # pixels of the shorter side that are looked at; every n-th, not averaged, so that grain still counts


@dataclass(frozen=True)
class PictureChecks:
    """What a picture must have. `secondread.config.ingest.IngestConfig` gives the reasons of the defaults."""

    min_side_pixels: int = 16
    min_contrast: int = 8


def check_picture(grey: npt.NDArray[np.uint8], checks: PictureChecks) -> None:
    """Refuse what is too small or blank.

    Args:
        grey: uint8 (height, width).
        checks: least side in pixels, least contrast in grey levels.
    Raises:
        ImageError: with its own figures in brackets.
    """
    height, width = grey.shape
    if min(height, width) < checks.min_side_pixels:
        raise ImageError(f"is too small ({width} x {height} pixels; {checks.min_side_pixels} are the least).")
    found = contrast(grey)
    if found < checks.min_contrast:
        raise ImageError(f"is blank (its grey levels span {found} of 255; {checks.min_contrast} are the least).")


def contrast(grey: npt.NDArray[np.uint8]) -> int:
    """Grey levels between the 1st and the 99th percentile: a burnt-in letter on an empty film does not count.

    Args:
        grey: uint8 (height, width).
    """
    step = max(1, min(grey.shape) // _LOOKED_AT)
    low, high = np.percentile(grey[::step, ::step], (1, 99))
    return int(high - low)
