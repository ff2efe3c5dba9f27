"""Chest X-Ray Images (Pneumonia), as Kaggle and Mendeley Data give it."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.data.sources.open import open_source

PATHS = [
    "chest_xray/train/NORMAL/IM-0115-0001.jpeg",
    "chest_xray/train/NORMAL/NORMAL2-IM-0381-0001-0002.jpeg",
    "chest_xray/train/PNEUMONIA/person1_bacteria_1.jpeg",
    "chest_xray/train/PNEUMONIA/person1_bacteria_2.jpeg",
    "chest_xray/train/PNEUMONIA/person10_virus_35.jpeg",
    "chest_xray/val/PNEUMONIA/person1946_bacteria_4874.jpeg",
    "chest_xray/test/NORMAL/IM-0001-0001.jpeg",
]


def _row(split: str, name: str, label: str, patient: str) -> tuple[str, str, dict[str, str]]:
    known = {"patient_id": f"kermany-{patient}", "view": "AP", "original_split": split}
    return f"{split}/{name}", f"cxr-{label}", known


def test_the_rows_with_the_second_copy_read_once(
    plant: Callable[..., Path], rows_of: Callable[..., list[object]]
) -> None:
    root = plant("download", PATHS + [f"chest_xray/{path}" for path in PATHS])
    (root / "chest_xray" / "__MACOSX" / "chest_xray" / "train" / "NORMAL").mkdir(parents=True)
    (root / "chest_xray" / "train" / "NORMAL" / ".DS_Store").write_bytes(b"\0")
    assert rows_of(open_source(str(root))) == [
        _row("train", "NORMAL/IM-0115-0001.jpeg", "normal", "IM-0115"),
        _row("train", "NORMAL/NORMAL2-IM-0381-0001-0002.jpeg", "normal", "NORMAL2-IM-0381"),
        _row("train", "PNEUMONIA/person10_virus_35.jpeg", "viral-pneumonia", "person10"),
        _row("train", "PNEUMONIA/person1_bacteria_1.jpeg", "bacterial-pneumonia", "person1"),
        _row("train", "PNEUMONIA/person1_bacteria_2.jpeg", "bacterial-pneumonia", "person1"),
        _row("val", "PNEUMONIA/person1946_bacteria_4874.jpeg", "bacterial-pneumonia", "person1946"),
        _row("test", "NORMAL/IM-0001-0001.jpeg", "normal", "IM-0001"),
    ]


def test_the_names_of_the_later_version_and_one_that_tells_nothing(
    plant: Callable[..., Path], rows_of: Callable[..., list[object]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="secondread")
    names = ["NORMAL/NORMAL-28501-0001.jpeg", "PNEUMONIA/BACTERIA-7422-0001.jpeg", "PNEUMONIA/VIRUS-53356-0003.jpeg"]
    root = plant("later", [f"chest_xray/train/{name}" for name in [*names, "PNEUMONIA/film.jpeg"]])
    source = open_source(f"chest-xray-pneumonia:{root}")
    assert rows_of(source) == [
        _row("train", names[0], "normal", "28501"),
        _row("train", names[1], "bacterial-pneumonia", "7422"),
        _row("train", names[2], "viral-pneumonia", "53356"),
    ]
    (message,) = caplog.messages
    assert (
        "left out 1 film(s) whose name tells neither patient nor kind, such as 'train/PNEUMONIA/film.jpeg'" in message
    )


def test_patients_are_found_as_in_the_real_films(shared_data: Path, plant: Callable[..., Path]) -> None:
    """The original names of 1,974 real films, against the patients that whoever reduced them wrote down."""
    import pandas as pd

    real = pd.read_csv(shared_data / "paediatric-pneumonia" / "manifest.csv", dtype=str)
    folder = real["label"].map(lambda label: "NORMAL" if label == "cxr-normal" else "PNEUMONIA")
    real["name"] = real["original_split"] + "/" + folder + "/" + real["original_name"]
    root = plant("again", ["train/NORMAL/IM-0115-0001.jpeg", "train/PNEUMONIA/person1_bacteria_1.jpeg"])
    for name in real["name"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    found = {image.name: (image.label, image.patient_id) for image in open_source(str(root)).images()}
    expected = dict(zip(real["name"], zip(real["label"], real["patient_id"], strict=True), strict=True))
    assert len(expected) == 1974
    assert {name: found[name] for name in expected} == expected
