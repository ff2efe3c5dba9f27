"""Images from outside are judged like those of a dataset version, and what cannot be read is left out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from secondread.config.subgroups import FACTORS
from secondread.data.pixels.preprocess import Preprocessing, preprocess
from secondread.data.sources.open import open_source
from secondread.errors import InputError
from secondread.evaluation.external.images import read_source

SPEC = Preprocessing(size=32)


def test_pixels_come_by_the_one_path_and_labels_by_the_folder(films: Callable[..., Path]) -> None:
    root = films(covid=3, normal=2)
    found = read_source(open_source(str(root)), SPEC)
    files = sorted(root.rglob("*.png"))
    for path, image, label in zip(files, found.images, found.labels, strict=True):
        np.testing.assert_array_equal(image[0], preprocess(path.read_bytes(), SPEC))
        assert found.classes[label] == path.parent.name
    assert found.images.shape == (5, 1, 32, 32)


def test_patients_are_groups_where_they_are_known(films: Callable[..., Path]) -> None:
    root = films(covid=3, normal=2)
    rows = [f"{path.relative_to(root)},{path.parent.name},ann" for path in sorted(root.rglob("*.png"))]
    (root / "manifest.csv").write_text("\n".join(["path,label,patient_id", *rows]))
    assert set(read_source(open_source(str(root)), SPEC).groups) == {"ann"}
    (root / "manifest.csv").unlink()
    assert len(set(read_source(open_source(str(root)), SPEC).groups)) == 5


def test_what_is_known_of_the_patients_divides_them_as_it_does_in_a_version(films: Callable[..., Path]) -> None:
    root = films(covid=3, normal=2)
    known = ("F,34,PA,cxr", "M,,AP,cxr", ",81,,cxr", ",,,oct", "F,39,PA,oct")
    paths = [f"{path.relative_to(root)},{path.parent.name}" for path in sorted(root.rglob("*.png"))]
    rows = [f"{path},{facts}" for path, facts in zip(paths, known, strict=True)]
    (root / "manifest.csv").write_text("\n".join(["path,label,sex,age,view,modality", *rows]))
    found = read_source(open_source(str(root)), SPEC).factors
    assert set(found) == set(FACTORS)
    assert list(found["sex"]) == ["F", "M", "not known", "not known", "F"]
    assert list(found["age_band"]) == ["20-39", "not known", "80+", "not known", "20-39"]
    assert list(found["view"]) == ["PA", "AP", "not known", "not known", "PA"]
    assert list(found["modality"]) == ["cxr", "cxr", "cxr", "oct", "oct"]


def test_what_cannot_be_read_is_left_out_and_said(films: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    root = films(covid=3, normal=2)
    (root / "covid" / "000.png").write_bytes(b"no film")
    assert len(read_source(open_source(str(root)), SPEC).labels) == 4
    assert "left out covid/000.png" in caplog.text


def test_nothing_left_is_an_error(films: Callable[..., Path]) -> None:
    root = films(covid=1)
    (root / "covid" / "000.png").write_bytes(b"no film")
    with pytest.raises(InputError, match="none of its 1 images can be read"):
        read_source(open_source(str(root)), SPEC)


def test_the_patient_of_a_dicom_header_is_its_group(dicom: Callable[..., bytes], tmp_path: Path) -> None:
    for number, patient in enumerate(["ann", "ann", "bob"]):
        path = tmp_path / "films" / "covid" / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dicom(np.full((40, 48), number, np.uint16), PatientID=patient))
    assert list(read_source(open_source(str(tmp_path / "films")), SPEC).groups) == ["ann", "ann", "bob"]
