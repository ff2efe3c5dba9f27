"""Text in a picture: seen on made-up films of both kinds at the sizes that films have it, and not where there is none.

What is planted is known, so that misses and false alarms can be counted; lines stand on ground darker than themselves.
"""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from secondread.data.cleaning.burnt_in import LEAST_SIDE, has_text
from secondread.data.pixels.decode import decode
from secondread.data.sources.open import open_source

SIDE = 512
LINES = ("PORTABLE", "AP ERECT", "DOE JANE 1961-03-14")
MARKERS = ("L", "R")


@pytest.fixture(scope="module")
def phantoms() -> list[np.ndarray]:
    """Chest films and retinal scans without a letter, 512 px."""
    images = list(open_source("phantom://demo?images=120&seed=3").images())[::3]
    greys = [Image.fromarray(decode(image.read())) for image in images]
    return [np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for grey in greys]


def planted(film: np.ndarray, text: str, *, height: int, level: int, seed: int, quality: int = 90) -> np.ndarray:
    """The film with a line of text on a darker strip at its top, saved as JPEG."""
    image = Image.fromarray(film.copy())
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(height)
    _, _, right, bottom = draw.textbbox((0, 0), text, font=font)
    x = int(np.random.default_rng(seed).integers(4, max(5, SIDE - right - 4)))
    strip = image.crop((0, 0, SIDE, int(bottom) + 12)).point(lambda value: value * (level - 120) // 255)
    image.paste(strip, (0, 0))
    draw.text((x, 5), text, fill=level, font=font)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def seen(films: list[np.ndarray], text: str, **how: int) -> float:
    return float(np.mean([has_text(planted(film, text, seed=seed, **how)) for seed, film in enumerate(films)]))


def test_a_film_without_letters_has_no_text(phantoms: list[np.ndarray]) -> None:
    assert len(phantoms) > 30
    assert not any(has_text(film) for film in phantoms)
    assert not any(has_text(planted(film, "", height=10, level=255, seed=0)) for film in phantoms)


@pytest.mark.parametrize("height", [16, 24, 40])
@pytest.mark.parametrize("marker", MARKERS)
def test_a_side_marker_alone_is_no_text(phantoms: list[np.ndarray], marker: str, height: int) -> None:
    assert seen(phantoms, marker, height=height, level=255) == 0


@pytest.mark.parametrize(("height", "level"), [(8, 255), (10, 200), (12, 200), (16, 200), (24, 255), (40, 255)])
@pytest.mark.parametrize("text", LINES)
def test_a_line_of_letters_is_text(phantoms: list[np.ndarray], text: str, height: int, level: int) -> None:
    assert seen(phantoms, text, height=height, level=level) >= 0.95


def test_text_is_seen_in_a_larger_film_too(phantoms: list[np.ndarray]) -> None:
    film = planted(phantoms[0], "PORTABLE", height=16, level=255, seed=0)
    large = np.asarray(Image.fromarray(film).resize((2048, 2048), Image.Resampling.BICUBIC))
    assert has_text(large)
    assert not has_text(np.asarray(Image.fromarray(phantoms[0]).resize((2048, 2048), Image.Resampling.BICUBIC)))


def test_in_a_small_picture_nothing_is_seen(phantoms: list[np.ndarray]) -> None:
    film = Image.fromarray(planted(phantoms[0], "PORTABLE", height=40, level=255, seed=0))
    side = LEAST_SIDE - 1
    assert not has_text(np.asarray(film.resize((side, side))))


@pytest.mark.parametrize("shape", [(1, 1), (128, 128), (128, 2048), (2048, 128)])
def test_any_shape_is_taken(shape: tuple[int, int]) -> None:
    assert not has_text(np.zeros(shape, np.uint8))
    has_text(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def test_real_films_with_and_without_text(shared_data: Path) -> None:
    """Looked at: `PORTABLE` and dates on films of intensive care; squares cropped by their publisher have no margin."""
    root = shared_data / "nih-covid-3" / "cxr-pneumonia"
    with_text = [root / name for name in ("00001689_012.jpg", "00002728_003.jpg", "00001951_000.jpg")]
    found = [path for path in with_text if path.exists()]
    assert all(has_text(decode(path.read_bytes())) for path in found)
    cropped = sorted((shared_data / "paediatric-pneumonia").glob("*/*.jpg"))[::20]
    assert np.mean([has_text(decode(path.read_bytes())) for path in cropped]) < 0.02
    assert len(found) + len(cropped) > 90
