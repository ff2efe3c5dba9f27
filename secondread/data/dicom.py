"""A DICOM file to a grey uint8 picture: rescale, window and MONOCHROME1 as PS3.3 C.7.6.3, C.11.1 and C.11.2 say."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from secondread.errors import ImageError, TooLargeError

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset


def decode_dicom(data: bytes, *, max_pixels: int) -> npt.NDArray[np.uint8]:
    """Decode the first frame.

    Args:
        data: a DICOM file with its preamble.
        max_pixels: refused above this many pixels in a frame.
    Returns:
        uint8 (height, width), 0 black; the window of the file, else its full range, spread over 0..255.
    Raises:
        ImageError: no pixels, a codec that is not supported, or a damaged file.
        TooLargeError: more pixels than allowed.
    """
    # pydicom takes a quarter of a second to import, which `predict` on a JPEG should not pay
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        rows, columns = int(dataset.Rows), int(dataset.Columns)
    except (InvalidDicomError, AttributeError, EOFError, struct.error, ValueError) as error:
        raise ImageError(f"the DICOM file is damaged or holds no picture ({error}).") from error
    if rows * columns > max_pixels:
        raise TooLargeError(f"{columns} x {rows} pixels are more than the limit of {max_pixels}. Send it smaller.")
    return _to_grey(dataset)


def _to_grey(dataset: FileDataset) -> npt.NDArray[np.uint8]:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
    from pydicom.pixels.utils import pixel_array

    try:
        stored = pixel_array(dataset, index=0 if int(dataset.get("NumberOfFrames") or 1) > 1 else None)
        if stored.ndim == 3:
            stored = stored.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        values = np.asarray(apply_voi_lut(apply_modality_lut(stored, dataset), dataset), np.float32)
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ImageError(f"the DICOM pixels cannot be decoded ({reason}).") from error
    low, high = float(values.min()), float(values.max())
    grey = np.asarray(np.rint((values - low) * (255.0 / (high - low or 1.0))), np.uint8)
    return 255 - grey if dataset.get("PhotometricInterpretation") == "MONOCHROME1" else grey
