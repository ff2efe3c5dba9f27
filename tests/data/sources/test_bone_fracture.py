"""Bone Fracture Detection, as Kaggle gives it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.data.sources.open import open_source
from secondread.data.sources.published import PublishedSource
from secondread.errors import InputError

TOP = "BoneFractureYolo8"
YAML = (
    "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 7\n"
    "names: ['elbow positive', 'fingers positive', 'forearm fracture', 'humerus fracture', 'humerus', "
    "'shoulder fracture', 'wrist positive']\n\nroboflow:\n  license: CC BY 4.0\n"
)
LABELS = {
    "train/image1_100_png.rf.0aa1": "0 0.5 0.5 0.1 0.2\n",
    "train/image1_100_png.rf.77bc": "0 0.4 0.5 0.1 0.2\n0 0.1 0.1 0.1 0.1\n",
    "train/image1_7_png.rf.aaaa": "",
    "train/image2_1_png.rf.bbbb": "1 0.5 0.5 0.1 0.2\n6 0.5 0.5 0.1 0.2\n",
    "train/image2_2_png.rf.cccc": "9 0.5 0.5 0.1 0.2\n",
    "valid/image3_1_png.rf.dddd": "4 0.1 0.1 0.2 0.1 0.2 0.2\n",  # a polygon
    "test/image4_1_png.rf.eeee": "2 0.5 0.5 0.1 0.2\n",
}


@pytest.fixture
def download(plant: Callable[..., Path]) -> Path:
    unlabelled = "train/image9_1_png.rf.ffff"
    split_and_name = [name.partition("/") for name in [*LABELS, unlabelled]]
    root = plant("archive", [f"{TOP}/{split}/images/{name}.jpg" for split, _, name in split_and_name])
    for name, text in LABELS.items():
        split, _, stem = name.partition("/")
        (root / TOP / split / "labels").mkdir(exist_ok=True)
        (root / TOP / split / "labels" / f"{stem}.txt").write_text(text)
    (root / TOP / "data.yaml").write_text(YAML)
    return root


def _row(split: str, name: str, label: str, origin: str, ours: str) -> tuple[object, ...]:
    return f"{split}/images/{name}.jpg", label, {"patient_id": f"bonefracture-{origin}", "original_split": ours}


def test_the_rows_with_the_copies_of_a_film_kept_together(download: Path, rows_of: Callable[..., list[object]]) -> None:
    source = open_source(str(download))
    assert rows_of(source) == [
        _row("train", "image1_100_png.rf.0aa1", "bone-fracture-elbow", "image1_100_png", "train"),
        _row("train", "image1_100_png.rf.77bc", "bone-fracture-elbow", "image1_100_png", "train"),
        _row("train", "image1_7_png.rf.aaaa", "bone-no-fracture", "image1_7_png", "train"),
        _row("valid", "image3_1_png.rf.dddd", "bone-fracture-humerus", "image3_1_png", "val"),
        _row("test", "image4_1_png.rf.eeee", "bone-fracture-forearm", "image4_1_png", "test"),
    ]
    assert isinstance(source, PublishedSource)
    assert source.left_out == {
        "film(s) with fractures of several classes": 1,
        "film(s) with a label that is no number of a class": 1,
        "film(s) without a label file": 1,
    }
    assert {info.modality for info in source.taxonomy().classes} == {"bone"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("names: [humerus, knee]", "'knee' is none of the classes elbow positive"),
        ("nc: 7 # humerus", "has no list 'names'"),
        ("names: {humerus", "has no list 'names'"),
        ("names: 3 # humerus", "has no list 'names'"),
    ],
)
def test_a_list_of_classes_that_is_none_is_told(download: Path, text: str, words: str) -> None:
    (download / TOP / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        open_source(str(download))
