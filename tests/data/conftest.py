"""DICOM files made on the spot."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian


def _dicom(pixels: np.ndarray, *, bits: int = 12, syntax: str = ExplicitVRLittleEndian, **elements: object) -> bytes:
    """A MONOCHROME2 film; every keyword of an element overrides, and None leaves it out."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    little = meta.TransferSyntaxUID.is_little_endian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128, is_little_endian=little)
    known = {
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
    }
    for name, value in (known | elements).items():
        if value is not None:
            setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def dicom() -> Callable[..., bytes]:
    """Make a DICOM file: `dicom(pixels, bits=12, WindowCenter=2048, ...)`."""
    return _dicom
