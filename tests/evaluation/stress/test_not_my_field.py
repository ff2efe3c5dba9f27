"""What is not of a model's field is assembled without fetching anything, and counted with intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

from secondread.data.pixels.preprocess import Preprocessing
from secondread.data.taxonomies import seed_taxonomy
from secondread.errors import InputError
from secondread.evaluation.stress.not_my_field import Kind, assemble, not_my_field
from secondread.taxonomy import ClassInfo, Taxonomy

CHEST = seed_taxonomy().restrict([info.name for info in seed_taxonomy().classes if info.modality == "cxr"])
SPEC = Preprocessing(size=32)
OWN = np.random.default_rng(0).integers(0, 200, (50, 1, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def kinds() -> tuple[Kind, ...]:
    return assemble(OWN, SPEC, CHEST, most=12)


def brightness(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=(1, 2, 3))


def test_every_kind_is_there_made_ready_like_a_film(kinds: tuple[Kind, ...]) -> None:
    assert [kind.name for kind in kinds] == [
        "phantoms: oct",
        "pictures of scikit-image and scikit-learn",
        "handwritten digits",
        "pages of text",
        "noise",
        "upside down",
        "inverted",
    ]
    for kind in kinds:
        assert kind.images.shape == (12, 1, 32, 32)
        assert kind.images.dtype == np.uint8
        assert len({image.tobytes() for image in kind.images}) == 12, kind.name
    assert [kind.name for kind in kinds if kind.taught] == ["upside down", "inverted"]


def test_folders_that_are_named_are_a_kind_each(tmp_path: Path) -> None:
    for kind, grey in (("knees", 40), ("hands", 200)):
        (tmp_path / kind / "any").mkdir(parents=True)
        for number in range(3):
            Image.new("L", (40, 40), grey + number).save(tmp_path / kind / "any" / f"{number}.png")
    found = assemble(OWN, SPEC, CHEST, most=2, places=[str(tmp_path / "knees"), str(tmp_path / "hands")])
    assert [(kind.name, len(kind.images)) for kind in found[:2]] == [("knees", 2), ("hands", 2)]
    assert brightness(found[0].images).max() < 50 < 190 < brightness(found[1].images).min()


def test_folders_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    for parent in ("a", "b"):
        (tmp_path / parent / "films").mkdir(parents=True)
        Image.new("L", (40, 40), 9).save(tmp_path / parent / "films" / "0.png")
    found = assemble(OWN, SPEC, CHEST, most=2, places=[str(tmp_path / parent / "films") for parent in ("a", "b")])
    assert len({kind.name for kind in found[:2]}) == 2


def test_a_folder_called_as_a_kind_of_ours_is_counted_beside_it(tmp_path: Path) -> None:
    (tmp_path / "noise").mkdir()
    Image.new("L", (40, 40), 9).save(tmp_path / "noise" / "0.png")
    found = assemble(OWN, SPEC, CHEST, most=2, places=[str(tmp_path / "noise")])
    counted = not_my_field(brightness, OWN, found, threshold=100.0)
    assert (counted.kinds["noise (a named place)"].n, counted.kinds["noise"].n) == (1, 2)
    assert counted.together.n == sum(each.n for each in counted.kinds.values())


def test_a_folder_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="knees is named twice as another field: name it once"):
        assemble(OWN, SPEC, CHEST, most=2, places=[str(tmp_path / "knees")] * 2)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image"):
        assemble(OWN, SPEC, CHEST, most=2, places=[str(tmp_path)])


def test_the_same_arguments_assemble_the_same_images(kinds: tuple[Kind, ...]) -> None:
    for one, other in zip(kinds, assemble(OWN, SPEC, CHEST, most=12), strict=True):
        np.testing.assert_array_equal(one.images, other.images)


def test_own_films_are_turned_and_inverted(kinds: tuple[Kind, ...]) -> None:
    own = {image.tobytes() for image in OWN}
    upside_down, inverted = kinds[-2].images, kinds[-1].images
    assert {image[:, ::-1].tobytes() for image in upside_down} <= own
    assert {(255 - image).tobytes() for image in inverted} <= own


def test_phantoms_of_the_models_own_modality_are_none_of_them() -> None:
    both = assemble(OWN, SPEC, seed_taxonomy(), most=2)
    assert not [kind.name for kind in both if kind.name.startswith("phantoms")]
    unknown = Taxonomy((ClassInfo("a"), ClassInfo("b")))
    assert not [kind.name for kind in assemble(OWN, SPEC, unknown, most=2) if kind.name.startswith("phantoms")]


def test_pictures_end_when_there_are_no_more_of_them() -> None:
    pictures = next(kind for kind in assemble(OWN, SPEC, CHEST, most=130) if kind.name.startswith("pictures"))
    assert len(pictures.images) == 125  # 25, and four crops of each


def test_shares_have_the_intervals_of_an_exact_binomial_test() -> None:
    bright, dark = np.full((7, 1, 8, 8), 250, np.uint8), np.zeros((5, 1, 8, 8), np.uint8)
    mixed = np.concatenate([bright[:3], dark])
    found = not_my_field(
        brightness, mixed, (Kind("bright", bright), Kind("dark", dark), Kind("mixed", mixed)), threshold=100.0
    )
    for flagged, count, n in ((found.kinds["bright"], 7, 7), (found.kinds["dark"], 0, 5), (found.own, 3, 8)):
        assert (flagged.flagged, flagged.n, flagged.share) == (count, n, count / n)
        expected = binomtest(count, n).proportion_ci(0.95, method="exact")
        assert (flagged.low, flagged.high) == pytest.approx((expected.low, expected.high))
    assert (found.together.flagged, found.together.n) == (10, 20)


def test_what_it_cannot_see_is_named() -> None:
    dark = np.zeros((10, 1, 8, 8), np.uint8)
    found = not_my_field(brightness, dark, (Kind("dark", dark), Kind("bright", dark + 200)), threshold=100.0)
    assert found.unseen == ("dark",)
    assert found.to_json()["unseen"] == ["dark"]


def test_a_kind_with_few_images_is_not_surely_unseen() -> None:
    """Seven of eight may be nine in ten; none of ten may not."""
    dark = np.zeros((10, 1, 8, 8), np.uint8)
    few = np.concatenate([dark[:1], dark[:7] + 200])
    found = not_my_field(brightness, dark, (Kind("dark", dark), Kind("few", few)), threshold=100.0)
    assert found.unseen == ("dark", "few")
    assert found.surely_unseen == ("dark",)
