"""Which way up a picture was taken, as its EXIF says. Viewers turn it; here it must be upright.

Exif 2.32: 4.6.2 the TIFF structure, 4.6.4 (A) orientation.
"""

from __future__ import annotations

import struct

from secondread.errors import ImageError

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _SHORT = 0x0112, 3
_UPRIGHT = 1


def check_upright(exif: bytes) -> None:
    """Refuse a picture that is stored turned or mirrored.

    Args:
        exif: the TIFF structure; what cannot be read of it says nothing.
    Raises:
        ImageError: its orientation is 2 to 8.
    """
    if exif and 2 <= (orientation := _orientation(exif)) <= 8:
        raise ImageError(
            f"the picture is stored turned or mirrored (EXIF orientation {orientation}), which only viewers undo. "
            "Save it upright."
        )


def _orientation(exif: bytes) -> int:
    if (order := _ORDERS.get(exif[:4])) is None:
        return _UPRIGHT
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, entry)
            if (tag, kind) == (_ORIENTATION, _SHORT):
                return int(value)
    except struct.error:
        pass
    return _UPRIGHT
