"""Tuberculosis (TB) Chest X-ray Database, as Kaggle gives it."""

from collections.abc import Callable
from pathlib import Path

from secondread.data.sources.folder import FolderSource
from secondread.data.sources.open import open_source

TOP = "TB_Chest_Radiography_Database"
PATHS = [f"{TOP}/Normal/Normal-1.png", f"{TOP}/Normal/Normal-2.png", f"{TOP}/Tuberculosis/Tuberculosis-1.png"]


def test_the_rows(plant: Callable[..., Path], excel: Callable[..., None], rows_of: Callable[..., list[object]]) -> None:
    root, header = plant("download", PATHS), ("FILE NAME", "FORMAT", "SIZE", "URL")
    niaid, rsna = "https://tbportals.niaid.nih.gov/download-data", "https://www.kaggle.com/c/rsna/data"
    excel(root / TOP / "Normal.metadata.xlsx", [header, ("Normal-1", "PNG", "512*512", rsna)])
    excel(root / TOP / "Tuberculosis.metadata.xlsx", [header, ("Tuberculosis-1", "PNG", "512*512", niaid)])
    source = open_source(str(root))
    assert rows_of(source) == [
        ("Normal/Normal-1.png", "cxr-normal", {"site": "kaggle.com/c/rsna/data"}),
        ("Normal/Normal-2.png", "cxr-normal", {}),
        ("Tuberculosis/Tuberculosis-1.png", "cxr-tuberculosis", {"site": "tbportals.niaid.nih.gov/download-data"}),
    ]
    assert [(info.name, info.urgency) for info in source.taxonomy().classes] == [
        ("cxr-normal", "routine"),
        ("cxr-tuberculosis", "urgent"),
    ]


def test_two_class_folders_alone_are_anybodys(plant: Callable[..., Path]) -> None:
    assert isinstance(open_source(str(plant("download", PATHS) / TOP)), FolderSource)
