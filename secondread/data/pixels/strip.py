"""JPEG and PNG without anything but what decoding needs: no EXIF, comments, text or thumbnails, which may name people.

Nothing is encoded again, so the pixels stay as they are. Sources: ITU-T T.81 annex B and T.871 (JPEG and JFIF), PNG
specification (third edition), section 5.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from secondread.errors import ImageError

_SOI, _EOI, _SOS, _DNL, _COM = 0xD8, 0xD9, 0xDA, 0xDC, 0xFE
_APP0, _APP14, _APP15 = 0xE0, 0xEE, 0xEF
_JFIF, _JFIF_BYTES = b"JFIF\0", 14  # without its thumbnail
_ADOBE, _ADOBE_BYTES = b"Adobe", 12
# frames (SOF0 to SOF15), DHT, DAC, SOS, DQT, DRI: what T.81 needs to decode a picture
_NEEDED = frozenset({*range(0xC0, 0xD0), _SOS, 0xDB, 0xDD}) - {0xC8}
# after 0xFF, what ends entropy-coded data: stuffed zeros and restart markers belong to it, and another 0xFF is filling
_ENDS = np.isin(np.arange(256), [0, *range(0xD0, 0xD8), 0xFF], invert=True)
_FIRST_WINDOW = 4096  # bytes looked at together; each further window is 16 times as large, since most scans are long

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def strip_jpeg(data: bytes) -> bytes:
    """A JPEG with only the segments that decide its pixels.

    Of the application segments, JFIF (APP0) stays without its thumbnail and Adobe (APP14) to its fixed length, since
    both say how colours are coded.

    Raises:
        ImageError: the segments are not as the standard says.
    """
    parts, position = [data[:2]], 2
    while True:
        marker, start = _marker(data, position)
        if marker == _EOI:
            return b"".join([*parts, b"\xff\xd9"])
        length = struct.unpack(">H", data[start : start + 2])[0] if len(data) >= start + 2 else 0
        position = start + length
        if length < 2 or position > len(data):
            raise ImageError(f"the JPEG is corrupt or truncated (segment {marker:#04x} has no end).")
        parts.append(_segment(marker, data[start + 2 : position]))
        if marker == _SOS:
            end = _scan_end(data, position)
            parts.append(data[position:end])
            position = end


def _scan_end(data: bytes, start: int) -> int:
    """Where entropy-coded data ends: the first marker that is not part of it, or the filling before it.

    Every film at ingest has 70 KB of such data, in which a regular expression takes half as long as decoding does.
    """
    codes, at, window = np.frombuffer(data, np.uint8), start, _FIRST_WINDOW
    while at < len(data) - 1:
        following = codes[at + 1 : at + 1 + window]
        marks = np.flatnonzero(codes[at : at + len(following)] == 0xFF)
        ends = marks[_ENDS[following[marks]]]
        if len(ends):
            end = at + int(ends[0])
            while end > start and data[end - 1] == 0xFF:
                end -= 1
            return end
        at, window = at + len(following), 16 * window
    raise ImageError("the JPEG is corrupt or truncated (its scan has no end).")


def _marker(data: bytes, position: int) -> tuple[int, int]:
    """The marker at a position, and where its segment starts; any number of 0xFF may stand before it."""
    start = position
    while data[start : start + 1] == b"\xff":
        start += 1
    if start == position or start >= len(data):
        raise ImageError(f"the JPEG is corrupt or truncated (no marker at byte {position}).")
    return data[start], start + 1


def _segment(marker: int, payload: bytes) -> bytes:
    """The segment to keep, empty for one that goes."""
    if marker in _NEEDED:
        kept = payload
    elif marker == _APP0 and payload.startswith(_JFIF) and len(payload) >= _JFIF_BYTES:
        kept = payload[: _JFIF_BYTES - 2] + b"\0\0"  # a thumbnail of 0 x 0
    elif marker == _APP14 and payload.startswith(_ADOBE) and len(payload) >= _ADOBE_BYTES:
        kept = payload[:_ADOBE_BYTES]
    elif _APP0 <= marker <= _APP15 or marker in (_COM, _DNL):  # libjpeg reads no line count of DNL
        return b""
    else:
        raise ImageError(f"the JPEG is corrupt (marker {marker:#04x} is of no kind that is read).")
    return struct.pack(">BBH", 0xFF, marker, len(kept) + 2) + kept


def strip_png(data: bytes) -> bytes:
    """A PNG with only its critical chunks and tRNS, up to IEND.

    Raises:
        ImageError: the chunks are not as the specification says.
    """
    parts, position, last = [_PNG_MAGIC], len(_PNG_MAGIC), b""
    seen: set[bytes] = set()
    while last != b"IEND":
        kind, end = _chunk(data, position)
        if kind == b"IDAT" and kind in seen and last != kind:
            raise ImageError("the PNG is corrupt (its IDAT chunks do not follow each other).")
        if kind in _PNG_NEEDED:
            parts.append(data[position:end])
        elif not kind[0] & 0x20:  # a capital: not to be skipped
            raise ImageError(f"the PNG has a chunk of a kind that is not read ({kind!r}). Save it as a plain PNG.")
        position, last = end, kind
        seen.add(kind)
    return b"".join(parts)


def _chunk(data: bytes, position: int) -> tuple[bytes, int]:
    """Kind of the chunk at a position, and where it ends."""
    if len(data) < position + 12:
        raise ImageError("the PNG is corrupt or truncated (no IEND chunk).")
    (length,), kind = struct.unpack(">I", data[position : position + 4]), data[position + 4 : position + 8]
    end = position + 12 + length
    if end > len(data) or not kind.isalpha():
        raise ImageError(f"the PNG is corrupt or truncated (the chunk at byte {position} has no end).")
    if kind in _PNG_NEEDED and zlib.crc32(data[position + 4 : end - 4]) != struct.unpack(">I", data[end - 4 : end])[0]:
        raise ImageError(f"the PNG is corrupt (the checksum of its {kind.decode()} chunk is wrong).")
    return kind, end
