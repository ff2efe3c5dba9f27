"""Ten corruptions: they grow with strength, leave shape and kind, repeat themselves, and look alike at any size."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from secondread.data.sources.phantom.render import phantom_image
from secondread.errors import InputError
from secondread.evaluation.stress.corruptions import CORRUPTIONS, STRENGTHS, corrupt

NAMES = tuple(CORRUPTIONS)


def films(size: int) -> np.ndarray:
    """Six phantoms of 224 pixels, made as small as asked."""
    drawn = [phantom_image(name, size=224, seed=seed) for seed in range(3) for name in ("cxr-covid", "oct-normal")]
    small = [Image.fromarray(picture).resize((size, size), Image.Resampling.BOX) for picture in drawn]
    return np.stack([np.asarray(picture) for picture in small])[:, None]


@pytest.fixture(scope="module")
def at_64() -> np.ndarray:
    return films(64)


def distance(images: np.ndarray, others: np.ndarray) -> float:
    """Root of the mean squared difference in grey levels."""
    return float(np.sqrt(((images.astype(float) - others) ** 2).mean()))


def test_there_are_the_ten_that_were_asked_for() -> None:
    assert set(NAMES) == {
        *("noise", "blur", "contrast", "brightness", "gamma"),
        *("jpeg", "rotation", "occlusion", "burnt_in_text", "low_resolution"),
    }
    assert STRENGTHS == (1, 2, 3, 4, 5)


@pytest.mark.parametrize("name", NAMES)
def test_it_grows_with_its_strength(name: str, at_64: np.ndarray) -> None:
    distances = [distance(corrupt(at_64, name, strength), at_64) for strength in STRENGTHS]
    assert distances[0] > 0.5
    assert all(later > 1.1 * earlier for earlier, later in pairwise(distances)), distances


@pytest.mark.parametrize("name", NAMES)
def test_strength_0_changes_nothing(name: str, at_64: np.ndarray) -> None:
    same = corrupt(at_64, name, 0)
    assert (same == at_64).all()
    assert same is not at_64


@pytest.mark.parametrize("name", NAMES)
def test_shape_and_kind_stay_and_the_original_is_left_alone(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 20, 36)).astype(np.uint8)
    before = images.copy()
    changed = corrupt(images, name, 5)
    assert (changed.dtype, changed.shape) == (np.uint8, images.shape)
    assert (images == before).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_pixels(name: str, at_64: np.ndarray) -> None:
    assert (corrupt(at_64, name, 3, seed=7) == corrupt(at_64, name, 3, seed=7)).all()


@pytest.mark.parametrize("name", ["noise", "brightness", "gamma", "rotation", "occlusion", "burnt_in_text"])
def test_another_seed_or_another_image_gives_others(name: str, at_64: np.ndarray) -> None:
    alike = np.repeat(at_64[:1], 12, axis=0)
    changed = corrupt(alike, name, 4, seed=1)
    assert len({image.tobytes() for image in changed}) > 1
    assert (changed != corrupt(alike, name, 4, seed=2)).any()


@pytest.mark.parametrize("name", NAMES)
def test_images_of_28_and_of_224_pixels_lose_alike(name: str) -> None:
    """What is seen at 28 pixels: the large image is corrupted, then made small."""
    small, large = films(28), films(224)
    for strength in (3, 5):
        changed = corrupt(large, name, strength)[:, 0]
        seen = np.stack([np.asarray(Image.fromarray(each).resize((28, 28), Image.Resampling.BOX)) for each in changed])
        ratio = distance(corrupt(small, name, strength), small) / distance(seen[:, None], small)
        assert 0.5 < ratio < 2, (strength, ratio)


def test_brightness_moves_by_its_level_up_or_down() -> None:
    changed = corrupt(np.full((40, 1, 8, 8), 120, np.uint8), "brightness", 2).astype(int)
    assert set(np.unique(changed)) == {120 - round(0.12 * 255), 120 + round(0.12 * 255)}


def test_occlusion_covers_its_share() -> None:
    changed = corrupt(np.full((20, 1, 100, 100), 120, np.uint8), "occlusion", 5)
    assert (changed != 120).mean() == pytest.approx(0.25, abs=0.01)
    assert set(np.unique(changed)) == {0, 120, 255}


def test_an_unknown_corruption_names_those_there_are() -> None:
    with pytest.raises(InputError, match="no corruption 'snow': use one of noise, blur"):
        corrupt(np.zeros((1, 1, 8, 8), np.uint8), "snow", 1)


def test_other_strengths_and_images_are_refused() -> None:
    with pytest.raises(InputError, match="from 0 to 5, not 6"):
        corrupt(np.zeros((1, 1, 8, 8), np.uint8), "noise", 6)
    with pytest.raises(InputError, match="uint8"):
        corrupt(np.zeros((1, 1, 8, 8), np.float32), "noise", 1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"\(3, 8, 8\)"):
        corrupt(np.zeros((3, 8, 8), np.uint8), "noise", 1)
