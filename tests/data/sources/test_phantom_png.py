from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from secondread.data.pixels.decode import decode
from secondread.data.sources.phantom.png import encode_png, is_synthetic


@pytest.mark.parametrize("shape", [(1, 1), (32, 48), (300, 300)])
def test_pillow_and_the_pixel_path_read_back_the_same_pixels(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = encode_png(picture)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "L"
        assert image.info["Synthetic"] == "SecondRead phantom"
        assert np.array_equal(np.asarray(image), picture)
    assert np.array_equal(decode(data), picture)


def test_the_mark_is_told_from_the_bytes() -> None:
    assert is_synthetic(encode_png(np.zeros((8, 8), np.uint8)))


def test_nothing_else_is_taken_for_synthetic() -> None:
    plain = io.BytesIO()
    Image.new("L", (8, 8)).save(plain, "PNG")
    jpeg = io.BytesIO()
    Image.new("L", (8, 8)).save(jpeg, "JPEG", comment=b"Synthetic\0SecondRead phantom")
    for data in (b"", b"Synthetic\0", plain.getvalue(), jpeg.getvalue(), plain.getvalue()[:20]):
        assert not is_synthetic(data)


def test_a_file_cut_short_before_its_mark_is_not_synthetic() -> None:
    data = encode_png(np.zeros((8, 8), np.uint8))
    assert not is_synthetic(data[:30])
