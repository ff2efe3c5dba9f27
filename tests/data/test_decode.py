"""Decoding: three kinds of file to grey, within bounds, and clear words for what cannot be read."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from secondread.data.decode import DecodeLimits, decode, read_bounded
from secondread.errors import ImageError, TooLargeError


def encoded(picture: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format=kind, **options)
    return buffer.getvalue()


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


def test_16_bit_png_keeps_its_upper_byte() -> None:
    picture = np.full((8, 8), 0x8001, np.uint16)
    assert decode(encoded(picture, "PNG"))[0, 0] == 0x80


def test_large_jpeg_is_scaled_while_decoded_but_no_side_below_the_minimum(gradient: np.ndarray) -> None:
    large = np.kron(gradient, np.ones((8, 8), np.uint8))
    small = decode(encoded(large, "JPEG", quality=95), min_side=90)
    assert min(small.shape) >= 90
    assert max(small.shape) < max(large.shape) / 4


@pytest.mark.parametrize("name", ["rsna-cr-pa-jpegbaseline", "nema-wg04-rg1-chest-j2k-15bit-mono1", "udacity-test1"])
def test_dicom_is_read_whatever_its_transfer_syntax(shared_data: Path, name: str) -> None:
    path = shared_data / "dicom" / f"{name}.dcm"
    header = pydicom.dcmread(path, stop_before_pixels=True)
    grey = decode(path.read_bytes())
    assert grey.dtype == np.uint8
    assert grey.shape == (header.Rows, header.Columns)
    assert grey.min() == 0
    assert grey.max() == 255


def test_monochrome1_is_inverted(shared_data: Path) -> None:
    """White is the least value there, so the film's dark border must come out dark."""
    path = shared_data / "dicom" / "udacity-test1.dcm"
    dataset = pydicom.dcmread(path)
    before = decode(path.read_bytes())
    dataset.PhotometricInterpretation = "MONOCHROME1"
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    np.testing.assert_array_equal(decode(buffer.getvalue()), 255 - before)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_truncated_is_refused(gradient: np.ndarray, kind: str) -> None:
    data = encoded(gradient, kind)
    with pytest.raises(ImageError, match=f"{kind} is corrupt or truncated"):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize(("data", "words"), [(b"", "empty"), (b"GIF89a", "no JPEG, PNG or DICOM")])
def test_what_is_no_image_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        decode(data)


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
