"""OCT2017, as Mendeley Data and Kaggle give it."""

import re
from collections.abc import Callable
from pathlib import Path

from secondread.data.sources.open import open_source

NAMES = [
    "test/DME/DME-11053-1.jpeg",
    "train/CNV/CNV-1016042-1.jpeg",
    "train/CNV/CNV-1016042-2.jpeg",
    "train/DME/DME-11053-2.jpeg",
    "train/DRUSEN/DRUSEN-95633-4.jpeg",
    "train/NORMAL/NORMAL-12494-1.jpeg",
]


def test_the_rows_in_kaggles_folder_with_a_blank_and_a_second_copy(
    plant: Callable[..., Path], rows_of: Callable[..., list[object]]
) -> None:
    root = plant("kermany2018", [f"{top}/{name}" for top in ("OCT2017 ", "oct2017/OCT2017 ") for name in NAMES])
    source = open_source(str(root))
    assert rows_of(source) == [
        _row("train/CNV/CNV-1016042-1.jpeg", "oct-cnv", "1016042"),
        _row("train/CNV/CNV-1016042-2.jpeg", "oct-cnv", "1016042"),
        _row("train/DME/DME-11053-2.jpeg", "oct-dme", "11053"),
        _row("train/DRUSEN/DRUSEN-95633-4.jpeg", "oct-drusen", "95633"),
        _row("train/NORMAL/NORMAL-12494-1.jpeg", "oct-normal", "12494"),
        _row("test/DME/DME-11053-1.jpeg", "oct-dme", "11053"),
    ]
    assert {info.modality for info in source.taxonomy().classes} == {"oct"}


def _row(name: str, label: str, patient: str) -> tuple[str, str, dict[str, str]]:
    return name, label, {"patient_id": f"kermanyoct-{patient}", "original_split": name.partition("/")[0]}


def test_patients_are_found_as_in_the_real_scans(shared_data: Path, plant: Callable[..., Path]) -> None:
    import pandas as pd

    real = pd.read_csv(shared_data / "oct-samples" / "manifest.csv", dtype=str).dropna(subset=["patient_id"])
    real = real[real["original_name"].map(lambda name: bool(re.match(r"[A-Z]+-\d+-\d+\.", name)))]
    assert len(real) > 10
    root = plant(
        "again", [f"train/{name}" for name in ("CNV/CNV-1-1.jpeg", "DME/x.jpeg", "DRUSEN/x.jpeg", "NORMAL/x.jpeg")]
    )
    for name in real["original_name"]:
        (root / "train" / name.partition("-")[0] / name).touch()
    found = {Path(image.name).name: image.patient_id for image in open_source(str(root)).images()}
    expected = dict(zip(real["original_name"], real["patient_id"], strict=True))
    assert {name: found[name] for name in expected} == expected
