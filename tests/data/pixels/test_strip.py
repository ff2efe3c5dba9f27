"""What a stored JPEG or PNG still holds: its pixels, unchanged, and nothing that could name anybody."""

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from secondread.data.pixels import strip
from secondread.data.pixels.decode import decode
from secondread.data.pixels.strip import strip_jpeg, strip_png
from secondread.errors import ImageError

SECRET = b"Jane_Doe"


def picture(*, colour: bool = False, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (40, 56, 3) if colour else (40, 56), dtype=np.uint8)
    return Image.fromarray(noise)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x010E] = SECRET.decode()  # ImageDescription
    tags[0x0112] = 1  # orientation: upright
    return tags


JPEGS = {
    "grey": (False, {}),
    "colour": (True, {"quality": 90}),
    "progressive": (True, {"progressive": True, "quality": 85}),
    "restart markers": (True, {"restart_marker_rows": 1}),
    "without subsampling": (True, {"subsampling": 0, "optimize": True}),
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_keeps_its_pixels_and_loses_exif_comment_profile_and_trailer(kind: str) -> None:
    colour, options = JPEGS[kind]
    plain = encoded(picture(colour=colour), "JPEG", **options)
    told = encoded(picture(colour=colour), "JPEG", exif=exif(), comment=SECRET, icc_profile=SECRET * 10, **options)
    told += b"\xff\xd8" + SECRET
    assert SECRET in told
    stripped = strip_jpeg(told)
    assert SECRET not in stripped
    assert stripped == strip_jpeg(plain)
    assert stripped.endswith(b"\xff\xd9")
    np.testing.assert_array_equal(decode(stripped), decode(told))
    with Image.open(io.BytesIO(stripped)) as ours, Image.open(io.BytesIO(told)) as theirs:
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
        assert not ours.getexif()


def test_how_the_colours_of_a_jpeg_are_coded_is_kept() -> None:
    """Adobe's segment says that these three channels are RGB and not YCbCr."""
    data = encoded(picture(colour=True), "JPEG", keep_rgb=True)
    adobe = b"\xff\xee" + struct.pack(">H", 2 + 12 + len(SECRET)) + b"Adobe\0\x64\0\0\0\0\0" + SECRET
    start = data.index(b"\xff\xdb")
    data = data[:2] + adobe + data[start:]
    stripped = strip_jpeg(data)
    assert b"Adobe" in stripped
    assert SECRET not in stripped
    np.testing.assert_array_equal(decode(stripped), decode(data))


def test_a_thumbnail_inside_jfif_is_dropped() -> None:
    data = encoded(picture(), "JPEG")
    assert data[2:4] == b"\xff\xe0"
    thumbnail = bytes(range(27))  # 3 x 3 RGB
    data = data[:4] + struct.pack(">H", 16 + 27) + data[6:18] + b"\x03\x03" + thumbnail + data[20:]
    stripped = strip_jpeg(data)
    assert thumbnail not in stripped
    np.testing.assert_array_equal(decode(stripped), decode(data))


def test_what_stands_between_the_scans_of_a_jpeg_is_dropped() -> None:
    data = encoded(picture(), "JPEG", progressive=True)
    second = data.rindex(b"\xff\xda")
    comment = b"\xff\xff\xfe" + struct.pack(">H", 2 + len(SECRET)) + SECRET  # one fill byte before it, as is allowed
    assert strip_jpeg(data[:second] + comment + data[second:]) == strip_jpeg(data)


def test_real_jpegs_keep_their_pixels(shared_data: Path) -> None:
    for path in sorted(shared_data.glob("*/*/*.jpg"))[::40]:
        data = path.read_bytes()
        np.testing.assert_array_equal(decode(strip_jpeg(data)), decode(data), err_msg=path.name)


@pytest.mark.parametrize("window", [1, 7, 4096])
def test_a_scan_ends_where_the_first_marker_is_that_is_not_part_of_it(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the same rule as a regular expression; there may be any number of 0xFF before the marker."""
    monkeypatch.setattr(strip, "_FIRST_WINDOW", window)
    rule, data = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]"), encoded(picture(), "JPEG")
    start = data.index(b"\xff\xda") + 10
    kept = strip_jpeg(data)[:-2]
    kept = kept[: kept.index(b"\xff\xda") + 10]
    rng, of_a_scan = np.random.default_rng(window), (b"\xff\x00", b"\xff\xd0", b"\xff\xff\xd7", b"ab")
    for _ in range(300):
        scan = b"".join(of_a_scan[number] for number in rng.integers(0, 4, rng.integers(0, 20)))
        told = data[:start] + scan + b"\xff" * int(rng.integers(1, 4)) + b"\xd9" + SECRET
        end = rule.search(told, start).start()
        assert strip_jpeg(told) == kept + told[start:end] + b"\xff\xd9"


@pytest.mark.parametrize("cut", [3, 10, 200, -2])
def test_a_jpeg_without_its_end_is_refused(cut: int) -> None:
    with pytest.raises(ImageError, match="JPEG is corrupt or truncated"):
        strip_jpeg(encoded(picture(), "JPEG")[:cut])


@pytest.mark.parametrize("damage", [b"\xff\xf7\x00\x04ab", b"\xff\xd0", b"no marker"])
def test_a_jpeg_with_what_the_standard_does_not_know_is_refused(damage: bytes) -> None:
    data = encoded(picture(), "JPEG")
    with pytest.raises(ImageError, match="JPEG is corrupt"):
        strip_jpeg(data[:2] + damage + data[2:])


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


PNGS = ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"]


@pytest.mark.parametrize("mode", PNGS)
def test_a_png_keeps_its_pixels_and_loses_text_exif_time_and_trailer(mode: str) -> None:
    image = picture(colour=True).convert("L").convert("I;16") if mode == "I;16" else picture(colour=True).convert(mode)
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", SECRET.decode())
    text.add_itxt("Comment", SECRET.decode())
    told = encoded(image, "PNG", pnginfo=text, exif=exif(), dpi=(72, 72), transparency=3 if mode in "LP" else None)
    told += SECRET
    stripped = strip_png(told)
    assert SECRET in told
    assert SECRET not in stripped
    assert not {b"tEXt", b"iTXt", b"eXIf", b"pHYs"} & {stripped[i : i + 4] for i in range(len(stripped))}
    np.testing.assert_array_equal(decode(stripped), decode(told))
    with Image.open(io.BytesIO(stripped)) as ours, Image.open(io.BytesIO(told)) as theirs:
        assert ours.mode == theirs.mode
        np.testing.assert_array_equal(np.asarray(ours.convert("RGBA")), np.asarray(theirs.convert("RGBA")))


def test_a_png_of_the_project_itself_stays_as_it_is() -> None:
    data = encoded(picture(), "PNG")
    assert strip_png(data) == data


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (lambda data: data[:60], "no end"),
        (lambda data: data[:-12], "no IEND"),
        (lambda data: data[:-30] + b"\0\0\0\0" + data[-26:], "checksum of its IDAT"),
        (lambda data: data[:33] + chunk(b"CgBI", b"") + data[33:], "not read"),
        (lambda data: data[:-12] + chunk(b"tIME", b"\0" * 7) + chunk(b"IDAT", b"") + data[-12:], "IDAT"),
    ],
)
def test_a_png_with_other_chunks_than_the_standard_allows_is_refused(damaged: object, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        strip_png(damaged(encoded(picture(), "PNG")))
