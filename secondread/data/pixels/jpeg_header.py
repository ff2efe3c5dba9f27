"""What the headers of a JPEG say before it is decoded: in how many scans it comes, and which way up it was taken.

ITU-T T.81: B.1.1.5 stuffed bytes, B.2.2 frame header, B.2.3 scan header, G.1 progressive scans. Exif 2.32: 4.7.2.
"""

from __future__ import annotations

from collections.abc import Iterator

from secondread.errors import ImageError

MOST_SCANS = 200  # an encoder makes about ten of a film; libjpeg-turbo's own tools stop at 500
_SCAN, _SEQUENTIAL = 0xDA, (0xC0, 0xC1)
_APP1, _EXIF = 0xE1, b"Exif\0\0"
_BEFORE_TABLES = frozenset({*range(0xE0, 0xF0), 0xFE})  # application segments and comments
_NO_SEGMENTS = frozenset({0xFF, 0x01, *range(0xD0, 0xDA)})  # filling, and markers without a length
_LONGEST_HEADER = 64  # segments; a film has about ten


def check_scans(data: bytes) -> None:
    """Refuse a JPEG or JPEG-LS whose decoder would pass over the whole picture again and again, for 36 bytes each time.

    Args:
        data: all of it. The mark of a scan cannot stand inside entropy-coded data, where 0xFF has a bit or a byte after
            it that says so; a thumbnail or a trailer may hold some.
    Raises:
        ImageError: it has more than `MOST_SCANS` scans.
    """
    if _has_one_scan(data):
        return
    if (scans := data.count(b"\xff\xda")) > MOST_SCANS:
        raise ImageError(
            f"a JPEG of {scans} scans is not read, since no film has more than {MOST_SCANS}. Save it again, not "
            "progressive."
        )


def exif_of_jpeg(data: bytes) -> bytes:
    """The TIFF structure that its Exif segment holds, empty where it has none before its tables."""
    for marker, start, end in _segments(data):
        if marker == _APP1 and data[start : start + len(_EXIF)] == _EXIF:
            return data[start + len(_EXIF) : end]
        if marker not in _BEFORE_TABLES:
            break
    return b""


def _has_one_scan(data: bytes) -> bool:
    """Whether the headers say so: a sequential frame, and a first scan of all its components.

    libjpeg takes no second scan of it. Most films are of this kind, and counting would cost a tenth of decoding them.
    """
    components = 0
    for marker, start, _ in _segments(data):
        if marker in _SEQUENTIAL:
            components = data[start + 5]
        elif marker == _SCAN:
            return 0 < components == data[start]
    return False


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment, for as long as they follow each other and every reader finds the same."""
    position = 2
    for _ in range(_LONGEST_HEADER):
        if position + 10 > len(data) or data[position] != 0xFF or data[position + 1] in _NO_SEGMENTS:
            return
        end = position + 2 + (data[position + 2] << 8) + data[position + 3]
        yield data[position + 1], position + 4, end
        position = end
