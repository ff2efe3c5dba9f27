"""The named changes to a film: each changes what it says, and nothing else."""

import io

import numpy as np
import pydicom
import pytest

from secondread.config.changes import KINDS, AsDicom, AsPng, Border, Brightness, Opacity, SideMarker, change_from
from secondread.data.pixels.decode import decode
from secondread.data.pixels.preprocess import Preprocessing
from secondread.errors import InputError
from secondread.evaluation.stress.changes import apply, encode_dicom, encode_png

SIDE = 64
SPEC = Preprocessing(SIDE)


def films(images: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(20, 180, (images, 1, SIDE, SIDE)).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_shape_and_kind_stay_and_the_original_is_left_alone(kind: str) -> None:
    images = films()
    before = images.copy()
    changed = apply(KINDS[kind](), images, SPEC)
    assert (changed.dtype, changed.shape) == (np.uint8, images.shape)
    assert (images == before).all()


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_dicom_file_decodes_to_the_grey_that_it_was_made_of(bits: int, inverted: bool) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = encode_dicom(grey, bits=bits, inverted=inverted)
    assert (decode(data) == grey).all()
    header = pydicom.dcmread(io.BytesIO(data))
    assert header.PhotometricInterpretation == ("MONOCHROME1" if inverted else "MONOCHROME2")
    assert header.pixel_array[0, 0] == (255 << (bits - 8) if inverted else 0)
    assert "PatientName" not in header


def test_a_png_file_decodes_to_the_grey_that_it_was_made_of() -> None:
    grey = films(1)[0, 0]
    assert (decode(encode_png(grey)) == grey).all()


def test_png_and_dicom_of_a_film_are_the_same_pixels_by_any_preprocessing() -> None:
    for spec in (SPEC, Preprocessing(SIDE, contrast="clahe"), Preprocessing(SIDE, trim_borders=True)):
        png, dicom, inverted = (apply(each, films(), spec) for each in (AsPng(), AsDicom(), AsDicom(inverted=True)))
        assert (png == dicom).all()
        assert (png == inverted).all()


def test_brightness_moves_every_pixel_alike_within_black_and_white() -> None:
    images = films()
    assert (apply(Brightness(by=0.2), images, SPEC) == images + 51).all()
    assert apply(Brightness(by=-1), images, SPEC).max() == 0


@pytest.mark.parametrize(("letter", "where"), [("L", np.s_[:12, -16:]), ("R", np.s_[:12, :16])])
def test_a_side_marker_is_a_bright_letter_on_its_side(letter: str, where: tuple[slice, slice]) -> None:
    images = np.full((1, 1, SIDE, SIDE), 60, np.uint8)
    changed = apply(SideMarker(letter=letter, height=0.1), images, SPEC)[0, 0]
    inside = np.zeros((SIDE, SIDE), bool)
    inside[where] = True
    assert (changed[~inside] == 60).all()
    assert changed[inside].max() > 180
    assert 0.03 < (changed[inside] > 100).mean() < 0.3


def test_a_border_frames_the_whole_film() -> None:
    images = np.full((1, 1, SIDE, SIDE), 60, np.uint8)
    images[0, 0, 0] = 200  # the film's own edge is moved inside, not covered
    changed = apply(Border(width=0.05, grey=255), images, SPEC)[0, 0]
    assert (changed[:3] == 255).all()
    assert (changed[:, -3:] == 255).all()
    assert changed[3, 10] > 150
    assert changed[30, 30] == 60


def test_an_opacity_is_brightest_in_its_middle_and_ends_at_its_radius() -> None:
    images = np.full((1, 1, SIDE, SIDE), 60, np.uint8)
    changed = apply(Opacity(x=0.25, y=0.5, radius=0.2, by=0.4), images, SPEC)[0, 0].astype(int)
    assert changed[32, 16] == pytest.approx(60 + 0.4 * 255, abs=2)
    assert changed[32, 16] > changed[32, 22] > changed[32, 27] > 60
    assert (changed[:, 32:] == 60).all()


def test_a_change_is_named_in_yaml_by_its_kind() -> None:
    assert change_from("as_png", stage="change") == AsPng()
    assert change_from({"kind": "border", "width": 0.1, "grey": 255}, stage="change") == Border(width=0.1, grey=255)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("sepia", "change is 'sepia': give 'kind', one of as_png, "),
        ({"by": 0.1}, "give 'kind'"),
        (7, "give 'kind'"),
        ({"kind": "brightness", "bye": 0.1}, "change has no setting bye. It has by"),
        ({"kind": "brightness", "by": 2}, r"change\.by must be from -1 to 1, not 2"),
        ({"kind": "side_marker", "letter": "X"}, r"change\.letter must be L or R, not 'X'"),
        ({"kind": "border", "grey": 300}, r"change\.grey must be from 0 to 255"),
        ({"kind": "opacity", "radius": 0}, r"change\.radius must be above 0"),
        ({"kind": "as_dicom", "bits": 24}, r"change\.bits must be from 8 to 16"),
    ],
)
def test_what_is_no_change_is_refused(value: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        change_from(value, stage="change")
