"""The only pixel path: encoded bytes to the model's pixels, the same in training and in serving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from secondread.data.decode import DEFAULT_LIMITS, DecodeLimits, decode
from secondread.errors import InputError

# Changing how a pixel comes about needs a new rule name, or old models would be fed other pixels than they learned.
DECODE_RULE = "grey-dct-scaled/1"
FIT = "pad"


@dataclass(frozen=True)
class Preprocessing:
    """What turns encoded bytes into pixels; stored with every dataset version and model.

    Attributes:
        size: pixels of both sides.
        fit: `pad`: the aspect ratio is kept, the rest is black.
        decode_rule: `grey-dct-scaled/1`: grey; more than 8 bits are spread over 0..255 (a DICOM's window or VOI LUT,
            else the least to the greatest value, in DICOM and 16-bit PNG alike); a JPEG is halved while it is decoded
            for as long as no side falls below `size`; then Pillow's bilinear filter with antialiasing.
    """

    size: int
    fit: str = FIT
    decode_rule: str = DECODE_RULE

    def __post_init__(self) -> None:
        if (self.fit, self.decode_rule) != (FIT, DECODE_RULE):
            raise InputError(
                f"this version reads preprocessing '{FIT}, {DECODE_RULE}', not '{self.fit}, {self.decode_rule}'. "
                "Use the version that wrote it, or preprocess again."
            )

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
    grey = decode(data, min_side=spec.size, limits=limits)
    height, width = grey.shape
    scale = spec.size / max(height, width)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(grey).resize((inner_width, inner_height), Image.Resampling.BILINEAR))
    if small.shape == (spec.size, spec.size):
        return small
    canvas = np.zeros((spec.size, spec.size), np.uint8)
    top, left = (spec.size - inner_height) // 2, (spec.size - inner_width) // 2
    canvas[top : top + inner_height, left : left + inner_width] = small
    return canvas
