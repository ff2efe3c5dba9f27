"""ieee8023/covid-chestxray-dataset, as its repository has it, at first and at last."""

import csv
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.data.sources.open import open_source
from secondread.data.sources.published import PublishedSource

HEADER = (
    "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,went_icu,in_icu,"
    "needed_supplemental_O2,extubated,temperature,pO2_saturation,leukocyte_count,neutrophil_count,lymphocyte_count,"
    "view,modality,date,location,folder,filename,doi,url,license,clinical_notes,other_notes,"
)
COVID = "Pneumonia/Viral/COVID-19"


def _table(root: Path, rows: list[dict[str, str]]) -> None:
    usual = {"finding": COVID, "view": "PA", "modality": "X-ray", "folder": "images"}
    with (root / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, next(csv.reader([HEADER])))
        writer.writeheader()
        writer.writerows([usual | row for row in rows])


def test_the_rows(
    plant: Callable[..., Path], rows_of: Callable[..., list[object]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="secondread")
    names = ["a.jpeg", "b.png", "c.jpg", "d.jpeg", "e.jpeg", "f.jpeg", "g.jpeg", "h.jpeg"]
    root = plant("covid-chestxray-dataset-master", [f"images/{name}" for name in names])
    hospital, licence = "Cho Ray Hospital, Ho Chi Minh City, Vietnam", "CC BY-NC-SA"
    facts = {"patientid": "2", "offset": "0", "sex": "M", "age": "65", "date": "January 22, 2020"}
    _table(
        root,
        [
            facts | {"filename": "a.jpeg", "location": hospital, "license": licence},
            {
                "patientid": "3",
                "filename": "b.png",
                "view": "AP Supine",
                "finding": "Pneumonia/Viral/SARS",
                "date": "2004",
            },
            {"patientid": "4", "filename": "c.jpg", "finding": "No Finding", "date": "summer"},
            {"patientid": "5", "filename": "d.jpeg", "finding": "Pneumonia/Fungal/Pneumocystis"},
            {"patientid": "6", "filename": "e.jpeg", "view": "L"},
            {"patientid": "7", "filename": "f.jpeg", "view": "Axial", "modality": "CT"},
            {"patientid": "8", "filename": "g.jpeg", "finding": "todo"},
            {"patientid": "9", "filename": "gone.jpeg"},
            {"patientid": "10", "filename": "../../a.jpeg"},
            {"patientid": "12", "filename": "n" * 300 + ".png", "age": "9" * 400},
            {"patientid": "11", "filename": "volume.nii.gz"},
        ],
    )
    source = open_source(str(root))
    pa = {"view": "PA"}
    known = {"patient_id": "ieee8023-2", "sex": "M", "age": 65.0, "site": hospital, "acquired_at": "2020-01-22"}
    supine = {"patient_id": "ieee8023-3", "view": "AP supine", "acquired_at": "2004"}
    assert rows_of(source) == [
        ("images/a.jpeg", "cxr-covid", known | pa),
        ("images/b.png", "cxr-viral-pneumonia", supine),
        ("images/c.jpg", "cxr-normal", {"patient_id": "ieee8023-4"} | pa),
        ("images/d.jpeg", "cxr-fungal-pneumonia", {"patient_id": "ieee8023-5"} | pa),
    ]
    assert [image.license for image in source.images()][:2] == [licence, "not stated"]
    assert source.fingerprint() == open_source(str(root)).fingerprint()
    assert isinstance(source, PublishedSource)
    assert source.left_out == {
        "film(s) that are not frontal": 1,
        "scan(s) that are no X-ray film": 1,
        "film(s) whose finding is not known": 1,
        "film(s) of the table that are not in the folder": 4,
    }


def test_the_first_version_of_the_table(plant: Callable[..., Path], rows_of: Callable[..., list[object]]) -> None:
    root = plant("first", ["images/a.jpeg", "images/b.jpeg", "images/ct.jpeg"])
    (root / "metadata.csv").write_text(
        "Patientid,offset,sex,age,finding,survival,view,date,location,filename,doi, url,license,notes\n"
        "1,,,,COVID-19,,PA,2019,,a.jpeg,,,,\n"
        '5,,,,"COVID-19, ARDS",,AP,"Feb 13, 2020",,b.jpeg,,,,\n'
        "17,9,M,54,COVID-19,Y,CT,2020,,ct.jpeg,,,,\n"
    )
    assert rows_of(open_source(f"covid-chestxray:{root}")) == [
        ("images/a.jpeg", "cxr-covid", {"patient_id": "ieee8023-1", "view": "PA", "acquired_at": "2019"}),
        ("images/b.jpeg", "cxr-covid", {"patient_id": "ieee8023-5", "view": "AP", "acquired_at": "2020-02-13"}),
    ]
