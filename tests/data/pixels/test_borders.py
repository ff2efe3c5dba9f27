"""Frames around films are cut off, with letters in them; anatomy never is."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from secondread.data.pixels.borders import trim_borders
from secondread.data.pixels.decode import decode


def textured(height: int, width: int) -> np.ndarray:
    """As grey as a chest, and nowhere uniform."""
    return np.random.default_rng(0).integers(60, 200, (height, width)).astype(np.uint8)


def framed(film: np.ndarray, tone: int, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    return np.pad(film, ((top, bottom), (left, right)), constant_values=tone)


def as_jpeg(grey: np.ndarray, quality: int = 80) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format="JPEG", quality=quality)
    return decode(buffer.getvalue())


def write(grey: np.ndarray, text: str, at: tuple[int, int], size: int = 12) -> np.ndarray:
    image = Image.fromarray(grey)
    ImageDraw.Draw(image).text(at, text, fill=255, font_size=size)
    return np.asarray(image)


@pytest.mark.parametrize("tone", [0, 255])
@pytest.mark.parametrize("sides", [(40, 30, 20, 50), (0, 0, 60, 60), (60, 0, 0, 0)])
def test_a_frame_is_cut_off_whatever_its_sides(tone: int, sides: tuple[int, int, int, int]) -> None:
    film = textured(200, 220)
    np.testing.assert_array_equal(trim_borders(framed(film, tone, *sides)), film)


@pytest.mark.parametrize("tone", [0, 255])
def test_noise_of_jpeg_does_not_hide_it(tone: int) -> None:
    found = trim_borders(as_jpeg(framed(textured(200, 220), tone, 40, 40, 32, 48), quality=70))
    assert 200 <= found.shape[0] <= 216  # up to a block of 8 pixels is left on either side
    assert 220 <= found.shape[1] <= 236


def test_a_letter_in_the_frame_goes_with_it() -> None:
    film = textured(300, 240)
    black = write(framed(film, 0, 60, 20, 40, 40), "R", (20, 20))
    np.testing.assert_array_equal(trim_borders(black), film)


def test_a_letter_at_the_very_edge_goes_with_it() -> None:
    film = textured(300, 240)
    black = framed(film, 0, 60, 20, 40, 40)
    black[:9, 100:108] = 255
    np.testing.assert_array_equal(trim_borders(black), film)


def test_a_fingertip_is_kept_though_it_is_as_narrow_as_a_letter() -> None:
    hand = np.zeros((300, 300), np.uint8)
    hand[150:280, 60:260] = textured(130, 200)
    hand[30:150, 100:115] = textured(120, 15)  # one finger, 15 of 300 pixels wide
    found = trim_borders(hand)
    assert found.shape == (250, 200)
    assert (found == hand[30:280, 60:260]).all()


def test_what_nearly_fills_a_line_ends_the_frame() -> None:
    film = textured(200, 200)
    film[:50, :170] = 0  # a lung apex, as dark as the frame, and a shoulder beside it
    np.testing.assert_array_equal(trim_borders(framed(film, 0, 30, 0, 0, 0)), film)


@pytest.mark.parametrize("value", [0, 255])
def test_at_least_two_fifths_of_each_side_stay(value: int) -> None:
    assert trim_borders(np.full((100, 200), value, np.uint8)).shape == (40, 80)
    speck = np.full((100, 200), 255 - value, np.uint8)
    speck[48:52, 96:104] = value
    assert trim_borders(speck).shape == (40, 80)


@pytest.mark.parametrize("shape", [(1, 16), (16, 1), (2, 2), (28, 28)])
def test_the_smallest_pictures_are_taken(shape: tuple[int, int]) -> None:
    assert min(trim_borders(np.zeros(shape, np.uint8)).shape) >= 1


def test_grey_all_round_is_no_frame() -> None:
    film = framed(textured(100, 100), 60, 30, 30, 30, 30)
    assert trim_borders(film).shape == film.shape


def test_a_frame_put_around_real_films_is_found(shared_data: Path) -> None:
    for path in sorted((shared_data / "nih-covid-3").rglob("*.jpg"))[::120]:
        film = trim_borders(decode(path.read_bytes()))
        black = write(framed(film, 0, 64, 32, 48, 80), "L PORTABLE", (50, 16))
        found = trim_borders(as_jpeg(black, quality=90))
        assert 0 <= found.shape[0] - film.shape[0] <= 16
        assert 0 <= found.shape[1] - film.shape[1] <= 16
