"""NIH ChestX-ray14, as NIH and Kaggle give it."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.data.sources.open import open_source
from secondread.data.sources.published import PublishedSource
from secondread.errors import InputError

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
ROWS = [
    "00000001_000.png,Cardiomegaly,0,1,57,M,PA,2682,2749,0.143,0.143,",
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,58,M,PA,2894,2729,0.143,0.143,",
    "00000002_000.png,No Finding,0,2,80,M,PA,2500,2048,0.171,0.171,",
    "00000003_000.png,Pleural_Thickening,0,3,81,F,AP,2582,2991,0.143,0.143,",
    "00000004_000.png,Pneumonia,7,4,411,F,AP,2582,2991,0.143,0.143,",
    "00000005_000.png,Mass|Nodule,0,5,82,M,AP,3056,2544,0.139,0.139,",
    "00000006_000.png,Hernia,0,6,81,F,PA,2582,2991,0.143,0.143,",
]
PATHS = [
    "images_001/images/00000001_000.png",
    "images_001/images/00000001_001.png",
    "images_001/images/00000002_000.png",
    "images_002/images/00000003_000.png",
    "images_002/images/00000004_000.png",
    "images_002/images/00000005_000.png",
]


@pytest.fixture
def download(plant: Callable[..., Path]) -> Path:
    root = plant("nih", PATHS)
    (root / "Data_Entry_2017.csv").write_text("\n".join([HEADER, *ROWS]) + "\n")
    (root / "train_val_list.txt").write_text("00000001_000.png\n00000002_000.png\n00000003_000.png\n")
    (root / "test_list.txt").write_text("00000004_000.png\n")
    return root


def _row(folder: str, name: str, label: str, **known: object) -> tuple[object, ...]:
    patient = f"nih-{int(name[:8])}"
    return f"{folder}/images/{name}.png", label, {"patient_id": patient, "study_id": f"{patient}-0"} | known


def test_the_rows(download: Path, rows_of: Callable[..., list[object]]) -> None:
    assert rows_of(open_source(str(download))) == [
        _row("images_001", "00000001_000", "cxr-cardiomegaly", sex="M", age=57.0, view="PA", original_split="train"),
        _row("images_001", "00000002_000", "cxr-normal", sex="M", age=80.0, view="PA", original_split="train"),
        _row(
            "images_002", "00000003_000", "cxr-pleural-thickening", sex="F", age=81.0, view="AP", original_split="train"
        ),
        _row(
            "images_002", "00000004_000", "cxr-pneumonia", sex="F", view="AP", original_split="test", study_id="nih-4-7"
        ),
    ]


def test_films_with_several_findings_are_left_out_and_counted(download: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="secondread")
    source = open_source(str(download))
    assert isinstance(source, PublishedSource)
    assert source.left_out == {
        "film(s) with several findings": 2,
        "film(s) of the table that are not in the folder": 1,
    }
    assert caplog.messages == []
    assert len(list(source.images())) == 4
    told = "\n".join(caplog.messages)
    assert "left out 2 film(s) with several findings, such as '00000001_001.png (Cardiomegaly|Emphysema)'" in told
    assert "left out 1 film(s) of the table that are not in the folder, such as '00000006_000.png'" in told
    assert "1 age(s) of its table are above 120 years" in told


@pytest.mark.parametrize(("text", "years"), [("058Y", 58.0), ("006M", 0.5), ("58", 58.0), ("", None), ("-1", None)])
def test_ages_of_both_versions_of_the_table(plant: Callable[..., Path], text: str, years: float | None) -> None:
    root = plant("v2020", ["images/00000001_000.png"])
    row = f"00000001_000.png,No Finding,0,1,{text},F,PA,2682,2749,0.143,0.143"
    (root / "Data_Entry_2017_v2020.csv").write_text(f"{HEADER.rstrip(',')}\n{row}\n")
    (image,) = open_source(str(root)).images()
    assert image.age == years


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Image Index,Finding Labels\n", r"no column 'Follow-up #' \(it has Image Index, Finding Labels\)"),
        (b'Image Index,"two\nlines"\n', r"\(it has Image Index, two\\nlines\)"),
        (b"", r"no column 'Image Index' \(it has none\)"),
        ((HEADER + "\nM\xfcller.png,Mass,0,1,5,M,PA\n").encode("latin-1"), "is no CSV file in UTF-8"),
        ((HEADER + "\n").encode(), "has the layout of NIH ChestX-ray14, but no image in it"),
    ],
    ids=["another table", "a line break", "empty", "Latin-1", "no rows"],
)
def test_a_table_that_is_none_is_told_in_one_line(download: Path, content: bytes, words: str) -> None:
    (download / "Data_Entry_2017.csv").write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        open_source(str(download))
    assert "\n" not in str(caught.value)
