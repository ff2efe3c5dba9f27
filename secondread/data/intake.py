"""One image of a source: read, checked, and copied as pixels and nothing else."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from secondread.atomic import sha256_bytes
from secondread.data.decode import decode
from secondread.data.detail import detail_hash
from secondread.data.dicom import dicom_ids
from secondread.data.picture_checks import PictureChecks, check_picture
from secondread.data.sources.source import SourceImage
from secondread.data.strip import strip_jpeg, strip_png
from secondread.errors import ImageError, TooLargeError

DEFAULT_CHECKS = PictureChecks()


@dataclass(frozen=True)
class StoredImage:
    """One image after reading: either copied, or left out for a reason.

    Attributes:
        image: as the source has it, with the ids of a DICOM file's header where the source knows none.
        image_id: sha256 of the source file's bytes, hex; empty where they could not be read.
        row: the manifest's columns that come from the file; empty where it is no image.
        detail_hash: perceptual, 32 bytes; empty where the picture has too little detail, or is left out.
        reason: why it is left out; empty where it is kept.
    """

    image: SourceImage
    image_id: str = ""
    row: dict[str, Any] = field(default_factory=dict)
    detail_hash: bytes = b""
    reason: str = ""


def store_image(image: SourceImage, folder: Path, *, checks: PictureChecks = DEFAULT_CHECKS) -> StoredImage:
    """Read and check one image and copy it.

    Args:
        image: of a source.
        folder: its `images/` gets the copy, named by the hash of the stored bytes.
        checks: what the picture must have.
    """
    try:
        data = image.read()
    except TooLargeError as error:
        return StoredImage(image, reason=str(error))
    except OSError as error:
        return StoredImage(image, reason=f"cannot be read ({error.strerror}).")
    image_id = sha256_bytes(data)
    try:
        grey = decode(data)
        check_picture(grey, checks)
        if data.startswith(b"\xff\xd8"):
            suffix, content = ".jpg", strip_jpeg(data)
        elif data.startswith(b"\x89PNG"):
            suffix, content = ".png", strip_png(data)
        else:
            suffix, content, image = ".png", _as_png(grey), with_header_ids(image, data)
    except (ImageError, TooLargeError) as error:
        return StoredImage(image, image_id, reason=str(error))
    name = sha256_bytes(content)
    path = folder / "images" / name[:2] / f"{name}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    row: dict[str, Any] = {
        "image_id": image_id,
        "pixel_hash": pixel_hash(grey),
        "path": path.relative_to(folder).as_posix(),
    }
    row |= {"width": grey.shape[1], "height": grey.shape[0]}
    return StoredImage(image, image_id, row, detail_hash(grey))


def pixel_hash(grey: npt.NDArray[np.uint8]) -> str:
    """SHA-256, hex, of a picture's size and pixels, whatever file it came from.

    Args:
        grey: uint8 (height, width), at full size.
    """
    height, width = grey.shape
    return sha256_bytes(f"{height} {width} ".encode() + grey.tobytes())


def _as_png(grey: npt.NDArray[np.uint8]) -> bytes:
    """A DICOM file is full of names and dates: only its pixels are kept."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def with_header_ids(image: SourceImage, data: bytes) -> SourceImage:
    """The image with the ids of its DICOM header, where the source has none: they keep a patient's films together."""
    patient, study = dicom_ids(data)
    return replace(image, patient_id=image.patient_id or patient, study_id=image.study_id or study)
