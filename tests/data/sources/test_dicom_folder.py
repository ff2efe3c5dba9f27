"""A folder of DICOM films, with what their headers say."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from secondread.data.pixels.decode import decode
from secondread.data.sources.dicom_folder import DicomFolderSource
from secondread.data.sources.folder import FolderSource
from secondread.data.sources.open import open_source
from secondread.errors import InputError

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)
ADULT = {
    "PatientID": "12345",
    "StudyInstanceUID": "1.2.3",
    "PatientSex": "F",
    "PatientAge": "045Y",
    "ViewPosition": "PA",
    "Modality": "DX",
    "BodyPartExamined": "CHEST",
    "PatientName": "Doe^Jane",
    "StudyDate": "20200101",
}


def _write(root: Path, films: dict[str, bytes]) -> Path:
    for name, data in films.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_the_rows(tmp_path: Path, dicom: Callable[..., bytes], rows_of: Callable[..., list[object]]) -> None:
    infant = {"PatientAge": "006M", "Modality": "CR", "PatientSex": "X"}
    films = {
        "covid/IM0001": dicom(PIXELS, **ADULT),
        "normal/1.2.840.7": dicom(PIXELS, **infant),
        "normal/study/b.dcm": b"damaged",
    }
    source = open_source(str(_write(tmp_path / "films", films)))
    known = {"patient_id": "12345", "study_id": "1.2.3", "sex": "F", "age": 45.0, "view": "PA", "body_part": "CHEST"}
    assert rows_of(source) == [
        ("covid/IM0001", "covid", known),
        ("normal/1.2.840.7", "normal", {"age": 0.5}),
        ("normal/study/b.dcm", "normal", {}),
    ]
    assert not source.public
    assert "Doe" not in str(list(source.images()))
    assert [(info.name, info.modality) for info in source.taxonomy().classes] == [("covid", "cxr"), ("normal", "cxr")]


def test_a_film_without_suffix_and_without_preamble_is_found(tmp_path: Path, dicom: Callable[..., bytes]) -> None:
    films = {"normal/IM0001": dicom(PIXELS, **ADULT)[132:]}
    (image,) = open_source(str(_write(tmp_path / "films", films))).images()
    assert (image.name, image.body_part) == ("normal/IM0001", "CHEST")
    assert decode(image.read()).shape == PIXELS.shape


def test_films_outside_class_folders_are_unlabelled_and_said_so(
    tmp_path: Path, dicom: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="secondread")
    source = open_source(str(_write(tmp_path / "films", {"a.dcm": dicom(PIXELS, **ADULT), "notes.txt": b"x"})))
    assert [(image.name, image.label) for image in source.images()] == [("a.dcm", "unlabelled")]
    assert "1 film(s) lie in no class folder: they are 'unlabelled'" in caplog.text


@pytest.mark.parametrize(
    ("modality", "part", "ours"),
    [("DX", "PELVIS", "dx-pelvis"), ("OPT", "EYE", "oct"), ("CR", "", "cxr"), ("MG", "BREAST", "mg"), ("", "", "")],
)
def test_a_set_is_of_the_modality_of_its_films(
    tmp_path: Path, dicom: Callable[..., bytes], modality: str, part: str, ours: str
) -> None:
    film = dicom(PIXELS, Modality=modality, BodyPartExamined=part)
    (image,) = open_source(str(_write(tmp_path / "films", {"a/1.dcm": film}))).images()
    assert (image.modality, image.unfit) == (ours, "")


@pytest.mark.parametrize(
    ("modality", "part", "fits"),
    [
        ("CR", "CHEST", True),
        ("DX", "", True),
        ("OT", "CHEST", True),
        ("", "", True),
        ("DX", "BRUSTKORB", True),  # not a code of the standard: nothing is known
        ("DX", "HAND", False),
        ("OT", "HAND", False),
        ("CT", "CHEST", False),
        ("OPT", "EYE", False),
    ],
)
@pytest.mark.parametrize("said_by", ["the class", "the user", "the other films"])
def test_a_film_that_contradicts_its_set_does_not_fit(
    tmp_path: Path, dicom: Callable[..., bytes], modality: str, part: str, fits: bool, said_by: str
) -> None:
    label = "cxr-normal" if said_by == "the class" else "healthy"
    films = {f"{label}/1.dcm": dicom(PIXELS, Modality=modality, BodyPartExamined=part)}
    if said_by == "the other films":
        films |= {f"{label}/{number}.dcm": dicom(PIXELS, Modality="DX") for number in (2, 3)}
    stated = "cxr" if said_by == "the user" else ""
    image = next(iter(open_source(str(_write(tmp_path / "films", films)), modality=stated).images()))
    assert image.modality == "cxr"
    stated_by_header = f"{modality} {part}"
    wrong = f"is of another modality or body part than its set (its header says {stated_by_header}, the set is of cxr)."
    assert image.unfit == ("" if fits else wrong)


def test_each_frame_of_a_volume_is_an_image_of_the_same_study(tmp_path: Path, dicom: Callable[..., bytes]) -> None:
    volume = np.stack([np.full((8, 8), value, np.uint8) for value in (10, 20, 30)])
    elements = {"bits": 8, "Rows": 8, "Columns": 8, "NumberOfFrames": 3, "Modality": "OPT", "ImageLaterality": "L"}
    source = open_source(str(_write(tmp_path / "films", {"oct-cnv/eye.dcm": dicom(volume, **elements)})))
    images = list(source.images())
    assert [image.name for image in images] == [f"oct-cnv/eye.dcm#frame={number}" for number in (1, 2, 3)]
    assert [int(decode(image.read())[0, 0]) for image in images] == [10, 20, 30]
    assert {(image.label, image.modality, image.laterality) for image in images} == {("oct-cnv", "oct", "L")}
    assert len({image.study_id for image in images} - {""}) == 1


def test_a_small_file_that_names_millions_of_frames_is_one_image_that_is_left_out(
    tmp_path: Path, dicom: Callable[..., bytes]
) -> None:
    elements = {"bits": 8, "NumberOfFrames": 9_999_999, "Modality": "OPT"}
    films = {"oct-cnv/eye.dcm": dicom(PIXELS.astype(np.uint8), **elements)}
    (image,) = open_source(str(_write(tmp_path / "films", films))).images()
    assert image.unfit == "has no room for the 9999999 frames that its header names."


@pytest.mark.parametrize("tag", ["PatientSex", "ViewPosition", "Modality", "BodyPartExamined", "Laterality"])
def test_what_is_no_code_of_the_standard_is_not_taken_over(
    tmp_path: Path, dicom: Callable[..., bytes], tag: str
) -> None:
    films = {"a/1.dcm": dicom(PIXELS, **{tag: "JANE DOE"})}
    (image,) = open_source(str(_write(tmp_path / "films", films))).images()
    assert "jane" not in str(image).lower().replace(str(tmp_path).lower(), "")


def test_a_folder_with_pictures_too_is_one_of_classes_unless_asked_otherwise(
    tmp_path: Path, dicom: Callable[..., bytes], film: Callable[[int], bytes]
) -> None:
    root = _write(tmp_path / "films", {"a/1.dcm": dicom(PIXELS), "a/2.png": film(1)})
    assert isinstance(open_source(str(root)), FolderSource)
    source = open_source(f"dicom:{root}")
    assert isinstance(source, DicomFolderSource)
    assert [image.name for image in source.images()] == ["a/1.dcm"]
    assert open_source(source.uri).fingerprint() == source.fingerprint()


def test_a_folder_without_dicom_is_refused(films: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="holds no DICOM file"):
        open_source(f"dicom:{films(normal=1)}")


def test_real_films(shared_data: Path) -> None:
    images = {image.name: image for image in open_source(str(shared_data / "dicom")).images()}
    assert len(images) == 6
    rsna = images["rsna-cr-pa-jpegbaseline.dcm"]
    assert (rsna.modality, rsna.view, rsna.body_part) == ("cxr", "PA", "CHEST")
    assert [name for name, image in images.items() if image.unfit] == ["udacity-test4.dcm"]  # of the rib cage
    assert all(min(decode(image.read()).shape) > 500 for image in images.values())
