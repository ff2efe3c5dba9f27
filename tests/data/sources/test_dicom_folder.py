"""A folder of DICOM films, with what their headers say."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from secondread.data.decode import decode
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
    known = {"patient_id": "12345", "study_id": "1.2.3", "sex": "F", "age": 45.0, "view": "PA"}
    assert rows_of(source) == [
        ("covid/IM0001", "covid", known),
        ("normal/1.2.840.7", "normal", {"age": 0.5}),
        ("normal/study/b.dcm", "normal", {}),
    ]
    assert not source.public
    assert "Doe" not in str(list(source.images()))
    assert [(info.name, info.modality) for info in source.taxonomy().classes] == [("covid", "cxr"), ("normal", "cxr")]


def test_films_outside_class_folders_are_unlabelled_and_said_so(
    tmp_path: Path, dicom: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="secondread")
    source = open_source(str(_write(tmp_path / "films", {"a.dcm": dicom(PIXELS, **ADULT), "notes.txt": b"x"})))
    assert [(image.name, image.label) for image in source.images()] == [("a.dcm", "unlabelled")]
    assert "1 film(s) lie in no class folder: they are 'unlabelled'" in caplog.text


@pytest.mark.parametrize(
    ("modality", "part", "ours"),
    [("DX", "PELVIS", "dx-pelvis"), ("OPT", "EYE", "oct"), ("CR", "", "cxr"), ("MG", "BREAST", "mg"), ("", "", "oct")],
)
def test_the_modality_of_the_header(
    tmp_path: Path, dicom: Callable[..., bytes], modality: str, part: str, ours: str
) -> None:
    film = dicom(PIXELS, Modality=modality, BodyPartExamined=part)
    (image,) = open_source(str(_write(tmp_path / "films", {"a/1.dcm": film})), modality="oct").images()
    assert image.modality == ours


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
    assert (rsna.modality, rsna.view) == ("cxr", "PA")
    assert all(min(decode(image.read()).shape) > 500 for image in images.values())
