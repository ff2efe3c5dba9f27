"""Pictures that are stored turned or mirrored, and say so in their EXIF: refused, since they are not turned back."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from secondread.data.pixels.decode import decode
from secondread.data.pixels.strip import strip_jpeg, strip_png
from secondread.errors import ImageError

PICTURE = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
DEEP = PICTURE.astype(np.uint16) * 40


def encoded(kind: str, exif: bytes | Image.Exif = b"", picture: np.ndarray = PICTURE, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format=kind, exif=exif, **options)
    return buffer.getvalue()


def turned(orientation: object) -> Image.Exif:
    tags = Image.Exif()
    tags[0x010F] = "a camera"
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_picture_that_a_viewer_turns_is_refused(kind: str, orientation: int) -> None:
    with pytest.raises(ImageError, match=f"EXIF orientation {orientation}.*Save it upright"):
        decode(encoded(kind, turned(orientation)))


@pytest.mark.parametrize("order", ["<", ">"])
def test_either_byte_order_is_read(order: str) -> None:
    head = b"II*\0" if order == "<" else b"MM\0*"
    exif = head + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    with pytest.raises(ImageError, match="EXIF orientation 6"):
        decode(encoded("JPEG", b"Exif\0\0" + exif))


def test_a_jpeg_is_refused_though_another_segment_stands_before_its_exif() -> None:
    data = encoded("JPEG", turned(6), comment=b"chest")
    comment, jfif = b"\xff\xfe\0\x04ab", b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    with pytest.raises(ImageError, match="EXIF orientation 6"):
        decode(data[:2] + jfif + comment + data[2:])


@pytest.mark.parametrize("picture", [PICTURE, DEEP], ids=["8 bits", "16 bits"])
def test_exif_behind_the_pixels_of_a_png_counts_too(picture: np.ndarray) -> None:
    data = encoded("PNG", turned(6), picture)
    start = data.index(b"eXIf") - 4
    end = start + 12 + struct.unpack(">I", data[start : start + 4])[0]
    moved = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    with Image.open(io.BytesIO(moved)) as image:
        assert image.getexif()[0x0112] == 6
    with pytest.raises(ImageError, match="EXIF orientation 6"):
        decode(moved)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [0, 1, 9, 65535])
def test_an_upright_picture_or_one_of_which_nothing_sensible_is_said_is_read(kind: str, orientation: int) -> None:
    np.testing.assert_array_equal(decode(encoded(kind, turned(orientation))), decode(encoded(kind)))


@pytest.mark.parametrize("length", [0, 3, 8, 10, 21])
def test_exif_that_is_cut_off_says_nothing(length: int) -> None:
    exif = turned(6).tobytes()
    whole = exif.removeprefix(b"Exif\0\0")
    data = encoded("JPEG", b"Exif\0\0" + whole[:length])
    np.testing.assert_array_equal(decode(data), decode(encoded("JPEG")))


def test_a_stored_copy_says_nothing_of_orientation_and_stays_readable() -> None:
    assert decode(strip_jpeg(encoded("JPEG", turned(6)))).shape == PICTURE.shape
    np.testing.assert_array_equal(decode(strip_png(encoded("PNG", turned(6)))), PICTURE)


def test_a_thumbnail_that_is_turned_does_not_count() -> None:
    """The second directory of EXIF is of the thumbnail."""
    tags = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 1, 0, 26) + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    data = encoded("JPEG", b"Exif\0\0II*\0" + struct.pack("<I", 8) + tags)
    np.testing.assert_array_equal(decode(data), decode(encoded("JPEG")))
