"""The only pixel path: encoded bytes to the model's pixels, the same in training and in serving."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.config.preprocess import CLAHE, CONTRASTS, NO_CONTRAST
from secondread.data.pixels.borders import KEPT_SHARE, trim_borders
from secondread.data.pixels.contrast import equalise
from secondread.data.pixels.decode import DEFAULT_LIMITS, DecodeLimits, decode
from secondread.data.pixels.resize import resize
from secondread.errors import InputError

# Changing how a pixel comes about needs a new rule name, or old models would be fed other pixels than they learned.
# So does changing what an option does: contrast `clahe/2`, say.
DECODE_RULE = "grey-dct-scaled/2"
FIT = "pad"


@dataclass(frozen=True)
class Preprocessing:
    """What turns encoded bytes into pixels; stored with every dataset version and model.

    Attributes:
        size: pixels of both sides.
        fit: `pad`: the aspect ratio is kept, the rest is black.
        decode_rule: `grey-dct-scaled/2`: grey; more than 8 bits are spread over 0..255 (a DICOM's window or VOI LUT,
            else the least to the greatest value, in DICOM and 16-bit PNG alike); a JPEG is halved while it is decoded
            for as long as no side falls below `size`; then the bilinear filter with antialiasing, in whole numbers.
        contrast: `none`, or `clahe`: contrast-limited adaptive histogram equalisation of the film, once it is small.
        trim_borders: whether a black or white frame around the film is cut off first. A JPEG is then halved less, so
            that what remains has, at worst, no side below `size`.
    """

    size: int
    fit: str = FIT
    decode_rule: str = DECODE_RULE
    contrast: str = NO_CONTRAST
    trim_borders: bool = False

    def __post_init__(self) -> None:
        known = (self.fit, self.decode_rule) == (FIT, DECODE_RULE) and self.contrast in CONTRASTS
        if not known or not isinstance(self.trim_borders, bool):
            raise InputError(
                f"this version reads preprocessing '{FIT}, {DECODE_RULE}' with contrast {' or '.join(CONTRASTS)} and "
                f"trim_borders true or false, not '{self.fit}, {self.decode_rule}' with {self.contrast} and "
                f"{self.trim_borders}. Use the version that wrote it, or preprocess again."
            )

    def __str__(self) -> str:
        """In words, for whoever has two that do not fit."""
        contrast = "" if self.contrast == NO_CONTRAST else f", contrast {self.contrast}"
        return f"{self.size} px ({self.decode_rule}{contrast}{', borders trimmed' if self.trim_borders else ''})"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Preprocessing:
        """From the JSON that `to_dict` gives."""
        return cls(**document)


def preprocess(data: bytes, spec: Preprocessing, *, limits: DecodeLimits = DEFAULT_LIMITS) -> npt.NDArray[np.uint8]:
    """Turn one encoded image into the model's pixels.

    Args:
        data: JPEG, PNG or DICOM.
        spec: target size and rule.
        limits: bounds on bytes and pixels.
    Returns:
        uint8 (size, size), 0 black.
    Raises:
        ImageError: corrupt, truncated, or so narrow that it is no film.
        TooLargeError: above a limit.
    """
    if spec.trim_borders:
        grey = trim_borders(decode(data, min_side=math.ceil(spec.size / KEPT_SHARE), limits=limits))
    else:
        grey = decode(data, min_side=spec.size, limits=limits)
    height, width = grey.shape
    scale = spec.size / max(height, width)
    small = resize(grey, max(1, round(height * scale)), max(1, round(width * scale)))
    if spec.contrast == CLAHE:  # before the padding, whose black would be part of the histograms
        small = equalise(small)
    height, width = small.shape
    if (height, width) == (spec.size, spec.size):
        return small
    canvas = np.zeros((spec.size, spec.size), np.uint8)
    top, left = (spec.size - height) // 2, (spec.size - width) // 2
    canvas[top : top + height, left : left + width] = small
    return canvas
