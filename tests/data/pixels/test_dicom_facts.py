"""What leaves a header: a fixed list of facts, and of codes only those of the standard."""

import io
from collections.abc import Callable

import numpy as np
import pytest

from secondread.data.pixels.dicom_facts import DicomFacts, age_years, dicom_facts, frame_count
from secondread.errors import ImageError

Dicom = Callable[..., bytes]
PIXELS = np.zeros((8, 8), np.uint16)


def facts(data: bytes) -> DicomFacts:
    return dicom_facts(data, max_bytes=1 << 20)


def test_the_facts(dicom: Dicom) -> None:
    elements = {"PatientID": " MRN-4711 ", "StudyInstanceUID": "1.2.3", "PatientSex": "F", "PatientAge": "045Y"}
    elements |= {"ViewPosition": "PA", "Modality": "DX", "BodyPartExamined": "CHEST", "ImageLaterality": "L"}
    known = DicomFacts("MRN-4711", "1.2.3", "", "F", 45.0, "PA", "DX", "CHEST", "L", "YES")
    data = dicom(PIXELS, BurnedInAnnotation="YES", **elements)
    assert facts(data) == known
    assert dicom_facts(io.BytesIO(data), max_bytes=1 << 20) == known


def test_of_an_empty_header_nothing_is_known(dicom: Dicom) -> None:
    assert facts(dicom(PIXELS)) == DicomFacts()


@pytest.mark.parametrize("tag", ["ViewPosition", "Modality", "BodyPartExamined"])
def test_a_code_that_is_not_on_the_list_is_other(dicom: Dicom, tag: str) -> None:
    found = facts(dicom(PIXELS, **{tag: "DOE JANE"}))
    assert "OTHER" in (found.view, found.modality, found.body_part)
    assert "DOE" not in str(found)


@pytest.mark.parametrize(("text", "years"), [("045Y", 45.0), ("006M", 0.5), ("7Y", 7.0), ("old", None), ("", None)])
def test_ages(text: str, years: float | None) -> None:
    assert age_years(text) == years


@pytest.mark.parametrize(("text", "frames"), [("", 1), ("0", 1), ("25", 25), ("x", 1), ("99999999", 1)])
def test_frames(text: str, frames: int) -> None:
    assert frame_count(text) == frames


def test_a_damaged_file_is_refused() -> None:
    with pytest.raises(ImageError, match="deflated DICOM file is damaged"):
        facts(b"\0" * 128 + b"DICM" + b"\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.1.99" + b"\xff" * 50)
