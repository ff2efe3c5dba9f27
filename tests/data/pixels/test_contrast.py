"""CLAHE: as OpenCV has it where tiles are large, and as its definition says, pixel by pixel, where they are small."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from secondread.data.pixels.contrast import equalise
from secondread.data.pixels.decode import decode
from secondread.data.pixels.resize import resize


def film(shared_data: Path, height: int, width: int) -> np.ndarray:
    path = sorted((shared_data / "nih-covid-3" / "cxr-normal").glob("*.jpg"))[3]
    return resize(decode(path.read_bytes()), height, width)


def by_definition(grey: np.ndarray, tiles: tuple[int, int], clip: int = 2) -> np.ndarray:
    """One pixel after the other, in floats; the sides are multiples of the tiles."""
    (down, across), (rows, columns) = tiles, grey.shape
    height, width = rows // down, columns // across
    curves = np.empty((down, across, 256))
    for i in range(down):
        for j in range(across):
            tile = grey[i * height : (i + 1) * height, j * width : (j + 1) * width]
            histogram = np.array([(tile == level).sum() for level in range(256)], float)
            limit = max(1, clip * tile.size // 256)
            excess = sum(max(0.0, count - limit) for count in histogram)
            curves[i, j] = np.cumsum(np.minimum(histogram, limit) + excess / 256) * 255 / tile.size
    result = np.empty(grey.shape)
    for y in range(rows):
        for x in range(columns):
            v, u = (y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5
            total = 0.0
            for i in (int(np.floor(v)), int(np.floor(v)) + 1):
                for j in (int(np.floor(u)), int(np.floor(u)) + 1):
                    near = curves[min(max(i, 0), down - 1), min(max(j, 0), across - 1)]
                    total += (1 - abs(v - i)) * (1 - abs(u - j)) * near[grey[y, x]]
            result[y, x] = total
    return result


def test_opencv_gives_the_same_on_a_large_film(shared_data: Path) -> None:
    """On a small one it gives what is left of the clipped counts, a small share of many pixels, to the dark levels."""
    grey = film(shared_data, 2048, 2048)
    theirs = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey)
    difference = np.abs(equalise(grey).astype(int) - theirs)
    assert difference.mean() < 0.6
    assert difference.max() <= 3


@pytest.mark.parametrize(("shape", "tiles"), [((64, 64), (4, 4)), ((96, 32), (6, 2)), ((15, 20), (1, 1))])
def test_the_definition_gives_the_same(shared_data: Path, shape: tuple[int, int], tiles: tuple[int, int]) -> None:
    grey = film(shared_data, *shape)
    assert np.abs(equalise(grey) - by_definition(grey, tiles)).max() <= 1


def test_a_mirrored_film_is_equalised_alike(shared_data: Path) -> None:
    grey = film(shared_data, 128, 128)
    np.testing.assert_array_equal(equalise(grey[::-1, ::-1]), equalise(grey)[::-1, ::-1])


def test_a_dark_region_is_spread_and_noise_is_not_raised_without_bound() -> None:
    rng = np.random.default_rng(0)
    texture = np.clip(rng.normal(40, 8, (128, 128)), 20, 60).astype(np.uint8)
    assert equalise(texture).std() > 1.5 * texture.std()
    noise = rng.integers(120, 123, (128, 128), dtype=np.uint8)
    assert equalise(noise).std() < 4 * noise.std()  # without the limit it would fill the grey scale: 100 times


@pytest.mark.parametrize("value", [0, 7, 128, 255])
def test_a_uniform_film_hardly_changes(value: int) -> None:
    levels = np.unique(equalise(np.full((96, 96), value, np.uint8)))
    assert len(levels) == 1
    assert abs(int(levels[0]) - value) <= 4


@pytest.mark.parametrize("shape", [(1, 16), (16, 1), (5, 3), (17, 33), (100, 13), (129, 224), (223, 1)])
def test_any_shape_is_taken(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert equalise(grey).shape == shape
    assert equalise(grey).dtype == np.uint8
