"""Decoding: three kinds of file to grey, within bounds, and clear words for what cannot be read."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.data.pixels.decode import DecodeLimits, decode, read_bounded
from secondread.errors import ImageError, TooLargeError


def encoded(picture: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format=kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


@pytest.fixture
def gradient() -> np.ndarray:
    return np.add.outer(np.arange(96), np.arange(128)).astype(np.uint8)


def test_png_is_lossless(gradient: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(encoded(gradient, "PNG")), gradient)


def test_jpeg_agrees_with_another_decoder(shared_data: Path) -> None:
    path = next((shared_data / "nih-covid-3" / "cxr-covid").glob("*.jpg"))
    ours, theirs = decode(path.read_bytes()), np.asarray(Image.open(path).convert("L"))
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_colour_becomes_luma() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    assert decode(encoded(red, "PNG"))[0, 0] == 76  # 0.299 * 255, ITU-R BT.601


@pytest.mark.parametrize(("least", "greatest"), [(0, 4095), (300, 1200), (0, 65535), (7, 7)])
def test_16_bit_png_is_spread_from_its_least_to_its_greatest_value(least: int, greatest: int) -> None:
    """A film of 12 bits in a 16-bit file would be black if its upper byte were taken."""
    picture = np.linspace(least, greatest, 24 * 32).round().astype(np.uint16).reshape(24, 32)
    expected = np.rint((picture.astype(float) - least) / max(greatest - least, 1) * 255)
    np.testing.assert_array_equal(decode(encoded(picture, "PNG")), expected)


def test_16_bit_png_with_colour_is_refused_since_only_8_bits_of_it_are_read() -> None:
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 7)), (b"IEND", b""))
    with pytest.raises(ImageError, match="16 bits and colour"):
        decode(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts))


def test_large_jpeg_is_scaled_while_decoded_but_no_side_below_the_minimum(gradient: np.ndarray) -> None:
    large = np.kron(gradient, np.ones((8, 8), np.uint8))
    small = decode(encoded(large, "JPEG", quality=95), min_side=90)
    assert min(small.shape) >= 90
    assert max(small.shape) < max(large.shape) / 4


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_truncated_is_refused(gradient: np.ndarray, kind: str) -> None:
    data = encoded(gradient, kind)
    with pytest.raises(ImageError, match=f"{kind} is corrupt or truncated"):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize(("data", "words"), [(b"", "empty"), (b"GIF89a", "no JPEG, PNG or DICOM")])
def test_what_is_no_image_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        decode(data)


def with_repeated_scan(data: bytes, times: int) -> bytes:
    """A JPEG whose second scan comes again and again, each time with the table before it."""
    scans = data.split(b"\xff\xda")
    return b"\xff\xda".join([*scans[:2], *(scans[2],) * times, *scans[3:]])


@pytest.mark.parametrize("side", [64, 400])
@pytest.mark.parametrize("colour", [False, True])
def test_a_progressive_jpeg_of_ten_scans_is_read_as_another_decoder_reads_it(side: int, colour: bool) -> None:
    picture = np.add.outer(np.arange(side), np.arange(side)).astype(np.uint8)
    data = encoded(np.stack([picture] * 3, axis=2) if colour else picture, "JPEG", progressive=True, quality=95)
    assert data.count(b"\xff\xda") == (10 if colour else 6)
    theirs = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert np.abs(decode(data).astype(int) - theirs).max() <= 2


@pytest.mark.parametrize("before", [b"", b"\xff\xff\xff", b"\xff\xfe\0\x04ab" * 100])
def test_a_jpeg_that_passes_over_its_picture_again_and_again_is_refused_before_it_is_decoded(
    gradient: np.ndarray, before: bytes
) -> None:
    """36 bytes a scan, of which each takes as long as decoding a film: 64 MiB would take hours."""
    data = with_repeated_scan(encoded(gradient, "JPEG", progressive=True), 250)
    with pytest.raises(ImageError, match="a JPEG of 255 scans is not read"):
        decode(data[:2] + before + data[2:])


def test_headers_that_libjpeg_reads_otherwise_hide_no_scans(gradient: np.ndarray) -> None:
    """A restart marker has no length; who takes the next two bytes for one lands in a comment of a plain JPEG."""
    plain = encoded(gradient, "JPEG")
    headers = plain[2 : plain.index(b"\xff\xda") + 10]
    comments = (b"\xff\xfe\xff\xf0" + b"\0" * 0xFFEE) + b"\xff\xfe\x08\x02" + b"\0" * 8 + headers.ljust(2040, b"\0")
    data = with_repeated_scan(encoded(gradient, "JPEG", progressive=True), 250)
    with pytest.raises(ImageError, match="a JPEG of 256 scans is not read"):
        decode(data[:2] + b"\xff\xd0" + comments + data[2:])


def test_scans_of_one_colour_each_are_counted_too() -> None:
    """A sequential JPEG may code its colours one after the other, and then any of them again."""
    parts = encoded(np.zeros((8, 8, 3), np.uint8), "JPEG", subsampling=0).split(b"\xff\xda")
    scan = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + b"\0"
    with pytest.raises(ImageError, match="a JPEG of 300 scans is not read"):
        decode(parts[0] + scan * 300 + b"\xff\xd9")


def test_marks_of_a_scan_in_a_comment_are_no_scans_of_a_plain_jpeg(gradient: np.ndarray) -> None:
    data = encoded(gradient, "JPEG")
    commented = data[:2] + b"\xff\xfe\x02\x02" + b"\xff\xda" * 256 + data[2:]
    np.testing.assert_array_equal(decode(commented), decode(data))


def test_a_damaged_dicom_is_refused() -> None:
    with pytest.raises(ImageError, match="DICOM"):
        decode(b"\0" * 128 + b"DICM" + b"\x02\x00")


def test_limits_hold_before_anything_is_decoded(gradient: np.ndarray) -> None:
    data = encoded(gradient, "PNG")
    with pytest.raises(TooLargeError, match="bytes"):
        decode(data, limits=DecodeLimits(max_bytes=len(data) - 1))
    with pytest.raises(TooLargeError, match="pixels"):
        decode(data, limits=DecodeLimits(max_pixels=gradient.size - 1))


def test_a_file_is_read_up_to_the_limit_and_not_at_all_above_it(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(b"12345")
    assert read_bounded(path, DecodeLimits(max_bytes=5)) == b"12345"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole of a terabyte: reading it would end the process
    with pytest.raises(TooLargeError, match=f"{1 << 40} bytes are more than the limit of {64 << 20}"):
        read_bounded(path)


def test_a_device_without_a_size_is_bounded_too() -> None:
    with pytest.raises(TooLargeError, match="bytes"):
        read_bounded(Path("/dev/zero"), DecodeLimits(max_bytes=1000))


def test_a_png_that_says_it_is_huge_is_too_large(gradient: np.ndarray) -> None:
    """400 megapixels, of which Pillow would say that they are a decompression bomb."""
    data = encoded(gradient, "PNG")
    bomb = png_chunk(b"IHDR", struct.pack(">II", 20_000, 20_000) + data[24:29])
    with pytest.raises(TooLargeError, match="20000 x 20000 pixels are more than the limit"):
        decode(data[:8] + bomb + data[33:])
    with pytest.raises(ImageError, match="PNG is corrupt"):
        decode(data[:33] + bomb + data[33:])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(("height", "width"), [(4, 1000), (1000, 4), (20, 321)])
def test_a_strip_is_no_film(kind: str, height: int, width: int) -> None:
    with pytest.raises(ImageError, match=rf"16 times the shorter is no film \({width} x {height} pixels\)"):
        decode(encoded(np.zeros((height, width), np.uint8), kind))


def test_a_picture_16_times_as_long_as_wide_is_the_longest() -> None:
    assert decode(encoded(np.zeros((20, 320), np.uint8), "PNG")).shape == (20, 320)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_random_damage_is_an_image_error_or_still_a_picture(gradient: np.ndarray, kind: str) -> None:
    whole = encoded(gradient[:24, :32].copy(), kind)
    for seed in range(400):
        rng = np.random.default_rng(seed)
        data = bytearray(whole)
        for position in rng.integers(2, len(data), 3):
            data[position] = rng.integers(256)
        try:
            assert decode(bytes(data)).dtype == np.uint8
        except (ImageError, TooLargeError):
            continue
