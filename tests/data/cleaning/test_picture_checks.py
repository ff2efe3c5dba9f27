"""What is no film although it decodes."""

import numpy as np
import pytest

from secondread.data.cleaning.picture_checks import PictureChecks, check_picture
from secondread.errors import ImageError

CHECKS = PictureChecks(min_side_pixels=16, min_contrast=8)


def gradient(height: int, width: int, span: int = 200) -> np.ndarray:
    return np.tile(np.linspace(20, 20 + span, width).astype(np.uint8), (height, 1))


def test_a_film_passes() -> None:
    check_picture(gradient(16, 40), CHECKS)


def test_one_pixel_too_few_is_too_small() -> None:
    with pytest.raises(ImageError, match=r"is too small \(40 x 15 pixels; 16 are the least\)"):
        check_picture(gradient(15, 40), CHECKS)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_film_is_blank(level: int) -> None:
    with pytest.raises(ImageError, match=r"is blank \(its grey levels span 0 of 255"):
        check_picture(np.full((300, 300), level, np.uint8), CHECKS)


def test_a_letter_on_an_empty_film_is_no_film() -> None:
    film = np.zeros((512, 512), np.uint8)
    film[10:40, 10:50] = 255
    with pytest.raises(ImageError, match="is blank"):
        check_picture(film, CHECKS)


def test_a_faint_film_is_a_film() -> None:
    check_picture(gradient(512, 512, span=10), CHECKS)
    with pytest.raises(ImageError, match="is blank"):
        check_picture(gradient(512, 512, span=5), CHECKS)


def test_grain_counts_as_a_picture_even_where_it_would_average_out() -> None:
    check_picture(np.random.default_rng(0).integers(90, 160, (2048, 2048), dtype=np.uint8), CHECKS)
