"""Encoded bytes (JPEG, PNG, DICOM) to a grey uint8 picture. What is too large is refused before it is decoded."""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, UnidentifiedImageError

from secondread.data.pixels.dicom import decode_dicom
from secondread.data.pixels.dicom_file import HEAD_BYTES, looks_like_dicom
from secondread.data.pixels.grey import spread_full_range
from secondread.data.pixels.jpeg_header import check_scans, exif_of_jpeg
from secondread.data.pixels.upright import check_upright
from secondread.errors import ImageError, TooLargeError

GreyImage = npt.NDArray[np.uint8]

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_GREY = 0  # colour type of IHDR
# a second header of another size raises the last one
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_KINDS = "JPEG, PNG or DICOM"


@dataclass(frozen=True)
class DecodeLimits:
    """Bounds on one image, checked before its bytes are read and before its pixels are made: none exhausts memory."""

    max_bytes: int = 64 << 20  # bytes as encoded; a large DICOM film is about 30 MB
    max_pixels: int = 64_000_000  # decoded pixels; the largest digital mammograms have 30 million
    max_aspect: int = 16  # longer side by the shorter; the longest film, of a whole spine, has 3


DEFAULT_LIMITS = DecodeLimits()


def read_bounded(path: Path, limits: DecodeLimits = DEFAULT_LIMITS) -> bytes:
    """The bytes of a file, which is not read when it is larger than the limit.

    Args:
        path: of one encoded image.
        limits: bound on bytes.
    Raises:
        TooLargeError: above the limit.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        _check_bytes(os.fstat(file.fileno()).st_size, limits)
        # one byte more than allowed: a file that grows, or a pipe whose size is 0, is bounded too
        data = file.read(limits.max_bytes + 1)
    _check_bytes(len(data), limits)
    return data


def decode(data: bytes, *, min_side: int = 0, limits: DecodeLimits = DEFAULT_LIMITS) -> GreyImage:
    """Decode one image to grey.

    Args:
        data: JPEG, PNG or DICOM, told apart by their first bytes.
        min_side: pixels. A JPEG may come back smaller than it is, by the decoder's own scaling, but with no side
            below this. 0 gives full size.
        limits: bounds on bytes and pixels.
    Returns:
        uint8 (height, width), 0 black. Colour is reduced to luma (ITU-R BT.601). Grey of more than 8 bits is spread
        over 0..255: the window of a DICOM, else from the least to the greatest value of the picture.
    Raises:
        ImageError: not one of the kinds, corrupt or truncated, stored turned or mirrored, or so long and narrow that it
            is no film.
        TooLargeError: above a limit.
    """
    if not data:
        raise ImageError("the file is empty (0 bytes).")
    _check_bytes(len(data), limits)
    if data.startswith(_JPEG_MAGIC):
        return _decode_jpeg(data, min_side, limits)
    if data.startswith(_PNG_MAGIC):
        return _decode_png(data, limits)
    if looks_like_dicom(data[:HEAD_BYTES]):
        return decode_dicom(data, check_size=partial(_check_size, limits=limits), max_bytes=limits.max_bytes)
    raise ImageError(f"the first bytes are of no {_KINDS} file. Convert it to one of these.")


def decode_frame_as_png(data: bytes, frame: int, *, limits: DecodeLimits = DEFAULT_LIMITS) -> bytes:
    """One frame of a DICOM file, as a grey PNG without anything of its header.

    Args:
        data: the file.
        frame: counted from 0.
        limits: bounds on bytes and pixels.
    Raises:
        ImageError: damaged.
        TooLargeError: above a limit.
    """
    check = partial(_check_size, limits=limits)
    return as_png(decode_dicom(data, check_size=check, max_bytes=limits.max_bytes, frame=frame))


def as_png(grey: GreyImage) -> bytes:
    """Losslessly, and fast rather than small.

    Args:
        grey: uint8 (height, width).
    """
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _decode_jpeg(data: bytes, min_side: int, limits: DecodeLimits) -> GreyImage:
    check_scans(data)
    check_upright(exif_of_jpeg(data))
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(height, width, limits)
        # libjpeg-turbo scales while it inverts the DCT, which skips most of the work of a large film; by halves only,
        # since other factors miss its vector code and are slower than no scaling at all
        divisor = next((by for by in (8, 4, 2) if min_side and min(height, width) // by >= min_side), 1)
        rows, columns = -(-height // divisor), -(-width // divisor)
        picture = simplejpeg.decode_jpeg(data, "GRAY", min_height=rows, min_width=columns, strict=True)
    except ValueError as error:
        raise ImageError(f"the JPEG is corrupt or truncated ({error}).") from error
    return np.asarray(picture)[:, :, 0]


def _decode_png(data: bytes, limits: DecodeLimits) -> GreyImage:
    if len(data) < 26 or data[12:16] != b"IHDR":
        raise ImageError("the PNG is corrupt or truncated (no IHDR chunk).")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    _check_size(height, width, limits)
    if depth == 16 and colour != _PNG_GREY:
        # Pillow keeps only the upper 8 bits of such a picture, which are black in a film of 12 bits
        raise ImageError("a PNG with 16 bits and colour or transparency is not read. Save it as 16-bit grey.")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != (width, height):
                raise ImageError("the PNG is corrupt (two sizes).")
            if getattr(image, "n_frames", 1) > 1:
                raise ImageError("an animated PNG holds several pictures. Save each as a file of its own.")
            if depth == 16:
                grey = spread_full_range(np.asarray(image).astype(np.uint16, copy=False))
            else:
                grey = np.asarray(image.convert("L"))
            check_upright(image.info.get("exif", b"").removeprefix(b"Exif\0\0"))  # it may stand behind the pixels
            return grey
    except UnidentifiedImageError as error:
        raise ImageError("the PNG is corrupt or truncated (its chunks cannot be read).") from error
    except _PILLOW_ERRORS as error:
        raise ImageError(f"the PNG is corrupt or truncated ({error}).") from error


def _check_bytes(size: int, limits: DecodeLimits) -> None:
    if size > limits.max_bytes:
        raise TooLargeError(f"{size} bytes are more than the limit of {limits.max_bytes}. Send a smaller image.")


def _check_size(height: int, width: int, limits: DecodeLimits) -> None:
    if height * width > limits.max_pixels:
        raise TooLargeError(
            f"{width} x {height} pixels are more than the limit of {limits.max_pixels}. Send it smaller."
        )
    if min(height, width) < 1 or max(height, width) > limits.max_aspect * min(height, width):
        raise ImageError(
            f"a picture whose longer side is more than {limits.max_aspect} times the shorter is no film "
            f"({width} x {height} pixels). Send the whole film."
        )
