"""One image of a source: read, checked, and copied as pixels and nothing else."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from secondread.atomic import sha256_bytes
from secondread.data.cleaning.burnt_in import LEAST_SIDE, has_text
from secondread.data.cleaning.detail import detail_hash
from secondread.data.cleaning.header_checks import contradiction
from secondread.data.cleaning.picture_checks import PictureChecks, check_picture
from secondread.data.pixels.decode import DEFAULT_LIMITS, as_png, decode
from secondread.data.pixels.dicom_facts import DicomFacts, dicom_facts
from secondread.data.pixels.dicom_file import HEAD_BYTES, looks_like_dicom
from secondread.data.pixels.strip import strip_jpeg, strip_png
from secondread.data.sources.source import SourceImage
from secondread.errors import DependencyError, ImageError, InputError, TooLargeError

DEFAULT_CHECKS = PictureChecks()
_SHOWN_HASH = 12  # hex digits; enough to find an image by its hash
UNREAD = "cannot be read"  # the reason why a file is left out whose bytes do not come


@dataclass(frozen=True, slots=True)
class StoredImage:
    """What reading one image found: either it is copied, or left out for a reason. All of it can stand in JSON.

    Attributes:
        image_id: sha256 of the source file's bytes, hex; empty where they could not be read.
        pixel_hash: of the decoded picture, hex.
        path: of the copy, relative to the folder; empty where the image is left out.
        stored_bytes: of the copy.
        width: pixels.
        height: pixels.
        detail_hash: perceptual, 32 bytes as hex; empty where the picture has too little detail, or is left out.
        patient_id: of a DICOM file's header; empty where it has none.
        study_id: of a DICOM file's header; empty where it has none.
        body_part: code such as CHEST, as source or header says.
        laterality: R, L, B or U, likewise.
        burnt_in_text: `stated` by the header, else `seen` or `none`; empty in a picture too small to tell.
        reason: why it is left out; empty where it is kept.
    """

    image_id: str = ""
    pixel_hash: str = ""
    path: str = ""
    stored_bytes: int = 0
    width: int = 0
    height: int = 0
    detail_hash: str = ""
    patient_id: str = ""
    study_id: str = ""
    body_part: str = ""
    laterality: str = ""
    burnt_in_text: str = ""
    reason: str = ""


def store_images(
    images: Sequence[SourceImage], folder: Path, checks: PictureChecks, *, hide_names: bool = False
) -> list[StoredImage]:
    """Read, check and copy a batch of images, wherever it is done.

    Args:
        images: of a source.
        folder: as for `store_image`.
        checks: what each picture must have.
        hide_names: an error names an image by the start of its hash.
    Raises:
        DependencyError: something is missing or fails that an image needs to be decoded; it names the image.
        InputError: the folder is not there: another machine does the work, which does not have it.
        OSError: the folder cannot be written, such as on a full disk.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} does not exist on {socket.gethostname()}. Where several machines do the work, read from and "
            "write to a folder that all of them have under the same path."
        )
    return [store_image(image, folder, checks=checks, hide_names=hide_names) for image in images]


def store_image(
    image: SourceImage, folder: Path, *, checks: PictureChecks = DEFAULT_CHECKS, hide_names: bool = False
) -> StoredImage:
    """Read and check one image and copy it.

    Args:
        image: of a source.
        folder: its `images/` gets the copy, named by the hash of the stored bytes.
        checks: what the picture must have.
        hide_names: as of `store_images`.
    """
    try:
        data = image.read()
    except (ImageError, TooLargeError) as error:
        return StoredImage(reason=str(error))
    except OSError as error:
        return StoredImage(reason=f"{UNREAD} ({error.strerror}).")
    image_id = sha256_bytes(data)
    facts = DicomFacts()
    try:
        if looks_like_dicom(data[:HEAD_BYTES]):
            facts = dicom_facts(data, max_bytes=DEFAULT_LIMITS.max_bytes)
        unfit = image.unfit or contradiction(facts, image.modality)
        if unfit:
            return StoredImage(image_id, reason=unfit)
        grey = decode(data)
        check_picture(grey, checks)
        suffix, content = _copy(data, grey)
    except (ImageError, TooLargeError) as error:
        return StoredImage(image_id, reason=str(error))
    except DependencyError as error:
        # nothing is wrong with the image, so it is not left out; but which one it was tells what must be mended
        name = f"the image with the hash {image_id[:_SHOWN_HASH]}" if hide_names else image.name
        raise DependencyError(f"{name}: {error}") from error
    return StoredImage(
        image_id=image_id,
        pixel_hash=pixel_hash(grey),
        path=_write(content, suffix, folder),
        stored_bytes=len(content),
        width=grey.shape[1],
        height=grey.shape[0],
        detail_hash=detail_hash(grey).hex(),
        patient_id=facts.patient_id,
        study_id=facts.study_id,
        body_part=image.body_part or facts.body_part,
        laterality=image.laterality or facts.laterality,
        burnt_in_text=_text(image.burnt_in or facts.burnt_in, grey),
    )


def _copy(data: bytes, grey: npt.NDArray[np.uint8]) -> tuple[str, bytes]:
    """Suffix and bytes of what is stored: a JPEG or PNG without its metadata, and of a DICOM file its pixels alone."""
    if data.startswith(b"\xff\xd8"):
        return ".jpg", strip_jpeg(data)
    if data.startswith(b"\x89PNG"):
        return ".png", strip_png(data)
    return ".png", as_png(grey)


def _text(stated: str, grey: npt.NDArray[np.uint8]) -> str:
    if stated == "YES":
        return "stated"
    return "" if min(grey.shape) < LEAST_SIDE else "seen" if has_text(grey) else "none"


def _write(content: bytes, suffix: str, folder: Path) -> str:
    """Write a copy, whole or not at all, since others may be writing the same one; its path below the folder."""
    name = sha256_bytes(content)
    path = f"images/{name[:2]}/{name}{suffix}"
    target = f"{folder}/{path}"
    aside = f"{target}.{os.getpid()}-{threading.get_ident()}"
    try:
        _write_bytes(aside, content)
    except FileNotFoundError:  # the first of its subfolder
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        _write_bytes(aside, content)
    os.replace(aside, target)
    return path


def _write_bytes(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def pixel_hash(grey: npt.NDArray[np.uint8]) -> str:
    """SHA-256, hex, of a picture's size and pixels, whatever file it came from.

    Args:
        grey: uint8 (height, width), at full size.
    """
    height, width = grey.shape
    return sha256_bytes(f"{height} {width} ".encode() + grey.tobytes())


def with_header_ids(image: SourceImage, data: bytes) -> SourceImage:
    """The image with the ids of its DICOM header, where the source has none: they keep a patient's films together."""
    facts = dicom_facts(data, max_bytes=DEFAULT_LIMITS.max_bytes)
    return replace(image, patient_id=image.patient_id or facts.patient_id, study_id=image.study_id or facts.study_id)
