"""Likeness of films: high for one film in other bytes, low for films of different people."""

import io

import numpy as np
import pytest
from PIL import Image

from secondread.data.cleaning.detail import detail_hash, details, thumbnail
from secondread.data.pixels.decode import decode
from secondread.data.sources.open import open_source


@pytest.fixture(scope="module")
def phantoms() -> tuple[list[np.ndarray], np.ndarray]:
    """150 films and whose they are."""
    images = list(open_source("phantom://cxr?images=150&size=192").images())
    return [decode(image.read()) for image in images], np.array([image.patient_id for image in images])


def saved_again(grey: np.ndarray, *, quality: int = 50, scale: float = 1.0, brighter: int = 0) -> np.ndarray:
    image = Image.fromarray(np.clip(grey.astype(int) + brighter, 0, 255).astype(np.uint8))
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return decode(buffer.getvalue())


def likeness(first: list[np.ndarray], second: list[np.ndarray]) -> np.ndarray:
    return details(np.stack([thumbnail(grey) for grey in first])) @ details(np.stack(list(map(thumbnail, second)))).T


def bits_apart(first: np.ndarray, second: np.ndarray) -> int:
    words = [np.frombuffer(detail_hash(grey), np.uint8) for grey in (first, second)]
    return int(np.bitwise_count(words[0][:8] ^ words[1][:8]).sum())


def test_films_of_different_people_are_not_alike(phantoms: tuple[list[np.ndarray], np.ndarray]) -> None:
    films, patients = phantoms
    others = patients[:, None] != patients[None]
    assert others.sum() > 10_000
    assert likeness(films, films)[others].max() < 0.94


CHANGES = [{}, {"scale": 0.5}, {"scale": 1.5}, {"brighter": 15}, {"brighter": -15}]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_film_saved_again_is_like_itself(
    phantoms: tuple[list[np.ndarray], np.ndarray], change: dict[str, float]
) -> None:
    films = phantoms[0][:30]
    again = [saved_again(film, **change) for film in films]
    assert np.diag(likeness(films, again)).min() > 0.96
    assert max(map(bits_apart, films, again)) <= 7


def test_likeness_is_the_correlation_of_what_is_left_without_the_surroundings() -> None:
    rng = np.random.default_rng(0)
    both = rng.integers(0, 256, (2, 64, 64), dtype=np.uint8)
    padded = np.pad(both.astype(float), ((0, 0), (4, 4), (4, 4)), mode="symmetric")
    left = both - np.lib.stride_tricks.sliding_window_view(padded, (9, 9), axis=(1, 2)).mean(axis=(3, 4))
    expected = np.corrcoef(left.reshape(2, -1))
    found = details(both)
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-5)


def test_an_even_picture_is_like_nothing() -> None:
    assert not details(np.full((1, 64, 64), 90, np.uint8)).any()


def test_a_picture_with_too_little_detail_has_no_hash() -> None:
    assert detail_hash(np.zeros((63, 200), np.uint8)) == b""
    assert len(detail_hash(np.zeros((64, 64), np.uint8))) == 32
