"""PNG files that say of themselves that they are synthetic."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from secondread.data.sources.phantom.fields import ByteImage

MARK = ("Synthetic", "SecondRead phantom")

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LARGEST_BLOCK = 65535  # bytes; the limit of one stored block, RFC 1951 section 3.2.4


def encode_png(picture: ByteImage) -> bytes:
    """An 8-bit grey PNG with the text chunk `Synthetic`.

    The pixels are stored, not compressed: zlib and its replacements pack the same pixels differently, and the bytes
    have to be the same on any machine. Speckle and grain would not shrink by much anyway.

    Args:
        picture: uint8 (height, width), 0 black.
    Source: PNG specification, third edition; RFC 1950 and 1951.
    """
    height, width = picture.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = picture
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8 bits, grey
    text = MARK[0].encode("latin-1") + b"\0" + MARK[1].encode("latin-1")
    chunks = ((b"IHDR", header), (b"tEXt", text), (b"IDAT", _stored(rows.tobytes())), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, body) for kind, body in chunks)


def is_synthetic(data: bytes) -> bool:
    """Whether an encoded image carries the mark of the phantom. False for any other image and for no image at all."""
    wanted = MARK[0].encode("latin-1") + b"\0"
    return any(kind == b"tEXt" and body.startswith(wanted) for kind, body in _chunks(data))


def _stored(raw: bytes) -> bytes:
    blocks = [b"\x78\x01"]
    for start in range(0, len(raw), _LARGEST_BLOCK):
        block = raw[start : start + _LARGEST_BLOCK]
        last = start + _LARGEST_BLOCK >= len(raw)
        blocks.append(struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block)
    return b"".join(blocks) + struct.pack(">I", zlib.adler32(raw))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each whole chunk; nothing where it is no PNG."""
    at = len(_SIGNATURE) if data.startswith(_SIGNATURE) else len(data)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length
