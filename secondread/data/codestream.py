"""What a compressed frame of a DICOM file says of its own size, checked before a decoder allocates what it says."""

from __future__ import annotations

import struct
from itertools import pairwise

import simplejpeg

from secondread.errors import ImageError

# PS3.5 A.4: transfer syntaxes by the kind of codestream that they hold
_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_JPEG_2000 = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203))
_RLE = "1.2.840.10008.1.2.5"
_START_AND_SIZE = b"\xff\x4f\xff\x51"  # ISO/IEC 15444-1 A.4.1 and A.5.1: SOC, then SIZ


def check_codestream(frame: bytes, transfer_syntax: str, *, rows: int, columns: int) -> None:
    """Refuse a frame that would become larger than the header of its file says.

    Args:
        frame: one encoded frame.
        transfer_syntax: UID. Kinds without a decoder here pass: nothing will decode them.
        rows: of the header, pixels.
        columns: of the header, pixels.
    Raises:
        ImageError: the frame is of another size, or damaged.
    """
    if transfer_syntax == _RLE:
        _check_rle(frame, rows * columns)
        return
    if transfer_syntax in _JPEG:
        height, width = _jpeg_size(frame)
    elif transfer_syntax in _JPEG_2000:
        height, width = _jpeg_2000_size(frame)
    else:
        return
    if (height, width) != (rows, columns):
        raise ImageError(
            f"the DICOM header says {columns} x {rows} pixels and its compressed frame {width} x {height}. "
            "Export the film again."
        )


def _jpeg_size(frame: bytes) -> tuple[int, int]:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(frame)
    except ValueError as error:
        raise ImageError(f"the DICOM file's JPEG frame is damaged ({error}). Export the film again.") from error
    return height, width


def _jpeg_2000_size(frame: bytes) -> tuple[int, int]:
    if not frame.startswith(_START_AND_SIZE) or len(frame) < 42:
        raise ImageError("the DICOM file's JPEG 2000 frame does not start as one. Export the film again.")
    width, height, left, top = struct.unpack(">IIII", frame[8:24])
    components = struct.unpack(">H", frame[40:42])[0]
    if components not in (1, 3):
        raise ImageError(f"the DICOM file's JPEG 2000 frame has {components} components, not 1 or 3.")
    return height - top, width - left


def _check_rle(frame: bytes, pixels: int) -> None:
    """RLE (PS3.5 annex G) has no size of its own: two bytes can become 128, so runs are counted before."""
    count = struct.unpack("<I", frame[:4])[0] if len(frame) >= 64 else 0
    if not 1 <= count <= 15:
        raise ImageError("the DICOM file's RLE frame is damaged. Export the film again.")
    starts = [*struct.unpack(f"<{count}I", frame[4 : 4 + 4 * count]), len(frame)]
    for start, end in pairwise(starts):
        if _rle_length(frame[start:end]) > pixels + 1024:  # a little padding is common
            raise ImageError(f"the DICOM file's RLE frame holds more than its {pixels} pixels. Export the film again.")


def _rle_length(segment: bytes) -> int:
    """Bytes that a segment becomes."""
    position, length = 0, 0
    while position < len(segment):
        control = segment[position]
        if control < 128:  # a literal run
            position, length = position + control + 2, length + control + 1
        elif control > 128:  # one byte, repeated
            position, length = position + 2, length + 257 - control
        else:
            position += 1
    return length
