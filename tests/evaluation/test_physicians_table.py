"""What physicians said: by SHA-256 or by path, from CSV or Parquet, and one line for what cannot be."""

from pathlib import Path

import pandas as pd
import pytest

from secondread.errors import InputError
from secondread.evaluation.physicians_table import read_labels

CLASSES = ("cxr-normal", "cxr-covid")
IDS = ("a" * 64, "b" * 64, "c" * 64, "", "d" * 64)
PATHS = ("ward/one.png", "two.png", "three.png", "torn.png", "four.png")


def labels(path: Path, text: str) -> dict[str, str]:
    path.write_text(text, encoding="utf-8")
    return dict(read_labels(path, IDS, PATHS, CLASSES))


def test_images_are_found_by_their_sha256_or_by_their_path(tmp_path: Path) -> None:
    expected = {"a" * 64: "cxr-covid", "c" * 64: "other"}
    by_id = f"label, image_id ,reader\ncxr-covid,{'A' * 64},x\n\nother,{'c' * 64},y\n,{'b' * 64},z\n"
    assert labels(tmp_path / "first.csv", by_id) == expected
    by_path = "path,label\nthree.png,other\nward/one.png, cxr-covid \ntwo.png,\ntorn.png,cxr-normal\n"
    assert labels(tmp_path / "first.csv", "\ufeff" + by_path) == expected | {"torn.png": "cxr-normal"}
    pd.DataFrame({"image_id": ["a" * 64, "c" * 64, "b" * 64], "label": ["cxr-covid", "other", None]}).to_parquet(
        tmp_path / "first.parquet"
    )
    assert read_labels(tmp_path / "first.parquet", IDS, PATHS, CLASSES) == expected
    assert labels(tmp_path / "first.csv", "path,label\n") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label\ncxr-covid\n", "has no column image_id or path"),
        ("path,class\ntwo.png,cxr-covid\n", "has no column label"),
        ("", "is no table in CSV"),
        ("path,label\ntwo.png,cxr-covid,more,still\nthree.png,a,b\n", "is no table in CSV"),
        ("path,label\ntwo.png,cxr-covid\nthree.png,cxr-covid,more\n", "is no table in CSV"),
        ("path,label\ntwo.png,cxr-covid\ntwo.png,cxr-normal\n", "row 2: this image is there twice"),
        ("path,label\n\nsurname.png,cxr-covid\n", "row 2: this image is not among those that were read"),
        ("path,label\n,cxr-covid\n", "row 1: this image is not among"),
        ("path,label\ntwo.png,covid\n", r"row 1: 'covid' is no class of the model \(cxr-normal, cxr-covid\)\. Write"),
        (f"image_id,label\n{'e' * 64},cxr-covid\n", r"row 1 \(eeeeeeeeeeee\): this image is not among"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_the_row_and_no_file_of_a_patient(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(InputError, match=words) as refused:
        labels(tmp_path / "first.csv", text)
    said = str(refused.value)
    assert "\n" not in said
    assert "surname" not in said
    assert "two.png" not in said


def test_a_file_that_is_missing_or_no_table_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path / "none.csv", IDS, PATHS, CLASSES)
    for data in (b"\xff\xfe\x00", b"PAR1 and nothing"):
        (tmp_path / "bad").write_bytes(data)
        with pytest.raises(InputError, match="is no table in CSV"):
            read_labels(tmp_path / "bad", IDS, PATHS, CLASSES)


def test_a_path_that_several_images_have_must_be_named_by_the_sha256(tmp_path: Path) -> None:
    """As in the worklists of two days, each of which has a film 001.png."""
    (tmp_path / "truth.csv").write_text("path,label\n001.png,cxr-covid\n")
    with pytest.raises(InputError, match=r"row 1: several images have this path\. Name them by image_id"):
        read_labels(tmp_path / "truth.csv", ("a" * 64, "b" * 64), ("001.png", "001.png"), CLASSES)
