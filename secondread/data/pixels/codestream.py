"""What a compressed frame of a DICOM file says of its own size, checked before a decoder allocates what it says."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from secondread.data.pixels.jpeg_header import check_scans
from secondread.errors import ImageError

# PS3.5 A.4: transfer syntaxes by the kind of codestream that they hold
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_LOSSY = ("1.2.840.10008.1.2.4.50", JPEG_EXTENDED)
_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203))
_RLE = "1.2.840.10008.1.2.5"
_START_AND_SIZE = b"\xff\x4f\xff\x51"  # ISO/IEC 15444-1 A.4.1 and A.5.1: SOC, then SIZ

# ITU-T T.81 table B.1 and T.87 C.1.1: the frame markers, by the kind of coding
_FRAME_MARKERS = dict.fromkeys(_LOSSY, (0xC0, 0xC1, 0xC2)) | dict.fromkeys(_LOSSLESS, (0xC3,))
_FRAME_MARKERS |= dict.fromkeys(_JPEG_LS, (0xF7,))
_ALL_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # these are no frames: DHT, JPG, DAC
_ALONE = frozenset({*range(0xD0, 0xD8), 0x01})  # markers without a segment
_SCAN = 0xDA
_MOST_FRAME_BITS = 16
_MOST_MARKERS = 10_000  # before the frame header, filling counted too; a film has about ten


@dataclass(frozen=True)
class JpegFrame:
    """What the frame header of a JPEG or JPEG-LS says.

    Attributes:
        height, width: pixels.
        bits: a sample.
        samples: a pixel.
    """

    height: int
    width: int
    bits: int
    samples: int


def check_codestream(frame: bytes, transfer_syntax: str, *, rows: int, columns: int) -> JpegFrame | None:
    """Refuse a frame that would become larger than the header of its file says.

    Args:
        frame: one encoded frame.
        transfer_syntax: UID. Kinds without a decoder here pass: nothing will decode them.
        rows: of the header, pixels.
        columns: of the header, pixels.
    Returns:
        The frame header of a JPEG or JPEG-LS.
    Raises:
        ImageError: the frame is of another size, or damaged.
    """
    found = None
    if transfer_syntax == _RLE:
        _check_rle(frame, rows * columns)
        return None
    if transfer_syntax in _FRAME_MARKERS:
        found = jpeg_frame(frame, _FRAME_MARKERS[transfer_syntax])
        height, width = found.height, found.width
        check_scans(frame)
    elif transfer_syntax in _JPEG_2000:
        height, width = _jpeg_2000_size(frame)
    else:
        return None
    if (height, width) != (rows, columns):
        raise ImageError(
            f"the DICOM header says {columns} x {rows} pixels and its compressed frame {width} x {height}. "
            "Export the film again."
        )
    return found


def jpeg_frame(data: bytes, markers: tuple[int, ...]) -> JpegFrame:
    """The frame header, the first segment of a frame kind.

    Args:
        data: a JPEG or JPEG-LS.
        markers: second bytes of the frame kinds that may be there.
    Raises:
        ImageError: it is of another kind, or damaged.
    """
    position = 2 if data.startswith(b"\xff\xd8") else len(data)
    for _ in range(_MOST_MARKERS):
        if position + 4 > len(data) or data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF or marker in _ALONE:  # filling, or nothing behind it
            position += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in markers and position + 10 <= len(data):
            bits, height, width, samples = struct.unpack(">BHHB", data[position + 4 : position + 10])
            if not 2 <= bits <= _MOST_FRAME_BITS or samples not in (1, 3):
                raise ImageError(f"the DICOM file's JPEG frame has {samples} samples of {bits} bits. Export it again.")
            return JpegFrame(height, width, bits, samples)
        if marker == _SCAN or marker in _ALL_FRAMES:
            break
        position += 2 + length
    raise ImageError("the DICOM file's JPEG frame is damaged or not of the kind stated. Export the film again.")


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
        if not start < end <= len(frame):  # or the same bytes would be gone through for each
            raise ImageError("the DICOM file's RLE frame is damaged. Export the film again.")
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
