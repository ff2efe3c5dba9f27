"""How many scans a JPEG has: each is a pass over the whole picture, and one may be only 36 bytes long.

ITU-T T.81: B.1.1.5 stuffed bytes, B.2.2 frame header, B.2.3 scan header, G.1 progressive scans.
"""

from __future__ import annotations

from secondread.errors import ImageError

MOST_SCANS = 200  # an encoder makes about ten of a film; libjpeg-turbo's own tools stop at 500
_SCAN, _SEQUENTIAL = 0xDA, (0xC0, 0xC1)
_NO_SEGMENTS = frozenset({0xFF, 0x01, *range(0xD0, 0xDA)})  # filling, and markers without a length
_LONGEST_HEADER = 64  # segments; a film has about ten


def check_scans(data: bytes) -> None:
    """Refuse a JPEG or JPEG-LS whose decoder would pass over the picture again and again.

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


def _has_one_scan(data: bytes) -> bool:
    """Whether the headers say so: a sequential frame, and a first scan of all its components.

    libjpeg takes no second scan of it. Most films are of this kind, and counting would cost a tenth of decoding them.
    """
    position, components = 2, 0
    for _ in range(_LONGEST_HEADER):
        if position + 10 > len(data) or data[position] != 0xFF:
            return False
        marker = data[position + 1]
        if marker in _NO_SEGMENTS:
            return False
        if marker in _SEQUENTIAL:
            components = data[position + 9]
        elif marker == _SCAN:
            return 0 < components == data[position + 4]
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False
