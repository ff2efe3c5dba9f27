"""Resizing: what Pillow gives, within one grey value, and the same pixels on every processor."""

import hashlib
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.data.pixels.decode import decode
from secondread.data.pixels.resize import resize

HASH = """
import hashlib, numpy as np
from secondread.data.pixels.resize import resize
picture = np.random.default_rng(0).integers(0, 256, (300, 401), dtype=np.uint8)
print(hashlib.sha256(resize(picture, 167, 224)).hexdigest())
"""


def by_pillow(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR), int)


@pytest.mark.parametrize("levels", [(0, 256), (0, 2)], ids=["noise", "black and white"])
@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((256, 256), (224, 224)),  # a film of 512 pixels, halved by the decoder
        ((128, 128), (64, 64)),
        ((447, 310), (224, 155)),
        ((28, 28), (64, 64)),  # larger
        ((100, 900), (300, 20)),  # one side larger, one smaller
        ((3000, 2500), (224, 187)),  # in many parts
        ((1601, 101), (16, 1)),
        ((1, 1), (5, 3)),
    ],
)
def test_pillow_gives_the_same_within_one_grey_value(
    shape: tuple[int, int], wanted: tuple[int, int], levels: tuple[int, int]
) -> None:
    picture = np.random.default_rng(1).integers(*levels, shape).astype(np.uint8) * (256 // levels[1] * 255 // 256 or 1)
    ours = resize(picture, *wanted)
    assert ours.shape == wanted
    assert ours.dtype == np.uint8
    assert np.abs(ours - by_pillow(picture, *wanted)).max() <= 1


def test_films_differ_from_pillow_in_few_pixels(shared_data: Path) -> None:
    for path in sorted((shared_data / "nih-covid-3" / "cxr-covid").glob("*.jpg"))[:10]:
        grey = decode(path.read_bytes(), min_side=96)
        difference = np.abs(resize(grey, 96, 96) - by_pillow(grey, 96, 96))
        assert difference.max() <= 1
        assert difference.mean() < 0.2


@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
@pytest.mark.parametrize(("side", "wanted"), [(256, 224), (17, 16), (28, 64), (4000, 16)])
def test_a_uniform_picture_stays_as_it_is(value: int, side: int, wanted: int) -> None:
    assert (resize(np.full((side, 40), value, np.uint8), wanted, 24) == value).all()


def test_a_picture_of_that_size_is_given_back() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 48), dtype=np.uint8)
    np.testing.assert_array_equal(resize(picture, 32, 48), picture)


def test_a_view_is_read_as_what_it_shows() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (200, 300), dtype=np.uint8)
    view = picture[20:180:2, ::-1]
    np.testing.assert_array_equal(resize(view, 50, 60), resize(view.copy(), 50, 60))


@pytest.mark.parametrize("processor", ["Prescott", "Nehalem", "Haswell"])
def test_other_processors_give_the_same_pixels(processor: str) -> None:
    """OpenBLAS sums in another order, and with or without fused multiplication, on each of them."""
    picture = np.random.default_rng(0).integers(0, 256, (300, 401), dtype=np.uint8)
    environment = os.environ | {"OPENBLAS_CORETYPE": processor}
    done = subprocess.run([sys.executable, "-c", HASH], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == hashlib.sha256(resize(picture, 167, 224)).hexdigest()


def test_a_large_picture_is_not_copied_as_floats() -> None:
    picture = np.zeros((4000, 4000), np.uint8)
    resize(picture, 64, 64)  # the weights are kept
    tracemalloc.start()
    try:
        resize(picture, 64, 64)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4000 * 4000 * 4 / 2
