"""COVID-19 Radiography Database, as Kaggle gives it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.data.sources.open import open_source
from secondread.errors import InputError

TOP = "COVID-19_Radiography_Dataset"
PATHS = [
    f"{TOP}/COVID/images/COVID-1.png",
    f"{TOP}/COVID/images/COVID-2.png",
    f"{TOP}/COVID/masks/COVID-1.png",
    f"{TOP}/Lung_Opacity/images/Lung_Opacity-1.png",
    f"{TOP}/Normal/images/Normal-1.png",
    f"{TOP}/Normal/masks/Normal-1.png",
    f"{TOP}/Viral Pneumonia/images/Viral Pneumonia-1.png",
]
HEADER = ("FILE NAME", "FORMAT", "SIZE", "URL")


@pytest.fixture
def download(plant: Callable[..., Path], excel: Callable[..., None]) -> Path:
    root = plant("download", PATHS)
    (root / TOP / "README.md.txt").write_text("COVID-19 CHEST X-RAY DATABASE")
    sirm = "https://sirm.org/category/senza-categoria/covid-19/"
    bimcv = "https://bimcv.cipf.es/bimcv-projects/bimcv-covid19/#1590858128006-9e640421-6711"
    rsna = "https://www.kaggle.com/c/rsna-pneumonia-detection-challenge/data"
    excel(
        root / TOP / "COVID.metadata.xlsx",
        [HEADER, ("COVID-1", "PNG", "256*256", sirm), ("COVID-2", "PNG", "256*256", bimcv)],
    )
    excel(root / TOP / "Normal.metadata.xlsx", [HEADER, ("NORMAL-1", "PNG", "256*256", rsna)])
    return root


def test_the_rows(download: Path, rows_of: Callable[..., list[object]]) -> None:
    source = open_source(str(download))
    assert rows_of(source) == [
        ("COVID/images/COVID-1.png", "cxr-covid", {"site": "sirm.org/category/senza-categoria/covid-19"}),
        ("COVID/images/COVID-2.png", "cxr-covid", {"site": "bimcv.cipf.es/bimcv-projects/bimcv-covid19"}),
        ("Lung_Opacity/images/Lung_Opacity-1.png", "cxr-opacity", {}),
        ("Normal/images/Normal-1.png", "cxr-normal", {"site": "kaggle.com/c/rsna-pneumonia-detection-challenge/data"}),
        ("Viral Pneumonia/images/Viral Pneumonia-1.png", "cxr-viral-pneumonia", {}),
    ]
    assert source.public
    image = next(iter(source.images()))
    assert (image.source, image.modality, image.license) == (
        "COVID-19 Radiography Database",
        "cxr",
        "not stated; research with citation",
    )


def test_the_classes_are_those_of_the_seeds_in_their_order(download: Path) -> None:
    names = open_source(f"covid-radiography:{download}").taxonomy().names
    assert names == ("cxr-covid", "cxr-normal", "cxr-opacity", "cxr-viral-pneumonia")


def test_the_fingerprint_changes_with_a_sheet(download: Path, excel: Callable[..., None]) -> None:
    before = open_source(str(download)).fingerprint()
    assert open_source(str(download)).fingerprint() == before
    excel(download / TOP / "Normal.metadata.xlsx", [HEADER, ("NORMAL-1", "PNG", "256*256", "https://eurorad.org/")])
    assert open_source(str(download)).fingerprint() != before


def _damaged(sheet: bytes) -> bytes:
    """The first 70 % of a zip file are its members; the list of them stays."""
    return sheet[:500] + bytes(len(sheet) * 7 // 10 - 500) + sheet[len(sheet) * 7 // 10 :]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no sheet", r"COVID\.metadata\.xlsx is no Excel file that can be read .* Download it again"),
        (b"PK\x05\x06" + bytes(18), "is no Excel file"),
        ("damaged", "is no Excel file"),
        (None, r"has no column 'URL' \(it has FILE NAME, FORMAT\)"),
    ],
    ids=["text", "an empty zip", "damaged", "another table"],
)
def test_a_damaged_sheet_is_told_in_one_line(
    download: Path, excel: Callable[..., None], content: bytes | str | None, words: str
) -> None:
    sheet = download / TOP / "COVID.metadata.xlsx"
    if content is None:
        excel(sheet, [("FILE NAME", "FORMAT"), ("COVID-1", "PNG")])
    else:
        intact = sheet.read_bytes()
        sheet.write_bytes(content if isinstance(content, bytes) else _damaged(intact))
    with pytest.raises(InputError, match=words) as caught:
        open_source(str(download))
    assert "\n" not in str(caught.value)
