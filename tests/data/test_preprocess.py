"""The one pixel path: size, aspect ratio, and the same pixels for the same picture."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.data.preprocess import Preprocessing, preprocess
from secondread.errors import ImageError, InputError


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def test_a_wide_film_keeps_its_aspect_ratio_on_black() -> None:
    pixels = preprocess(png(np.full((50, 100), 200, np.uint8)), Preprocessing(size=64))
    assert pixels.shape == (64, 64)
    assert (pixels[16:48] == 200).all()
    assert (pixels[:16] == 0).all()
    assert (pixels[48:] == 0).all()


def test_a_square_film_of_the_right_size_is_left_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    np.testing.assert_array_equal(preprocess(png(picture), Preprocessing(size=32)), picture)


def test_scaling_in_the_decoder_changes_little(shared_data: Path) -> None:
    """Against full decoding and Pillow's own resize: the mean difference stays below 2 of 255 grey values."""
    for path in sorted((shared_data / "nih-covid-3" / "cxr-normal").glob("*.jpg"))[:20]:
        with Image.open(path) as image:
            full = np.asarray(image.convert("L").resize((96, 96), Image.Resampling.BILINEAR), float)
            if image.width != image.height:
                continue
        ours = preprocess(path.read_bytes(), Preprocessing(size=96))
        assert np.abs(ours - full).mean() < 2


def test_a_sliver_is_refused_whatever_the_size() -> None:
    for size in (16, 64, 512):
        with pytest.raises(ImageError, match="is no film"):
            preprocess(png(np.zeros((4, 1000), np.uint8)), Preprocessing(size=size))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_no_side_of_what_is_a_film_vanishes(kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((101, 1601), 200, np.uint8)).save(buffer, format=kind)
    pixels = preprocess(buffer.getvalue(), Preprocessing(size=16))
    assert (pixels[pixels > 0] > 190).all()
    assert pixels.any(axis=1).sum() == 1


def test_another_rule_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="other/9"):
        Preprocessing.from_dict({"size": 64, "fit": "pad", "decode_rule": "other/9"})
