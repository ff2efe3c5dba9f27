"""The difference of two versions."""

from pathlib import Path

import pandas as pd
import pytest

from secondread.cli.difference import print_diff
from secondread.data.pixels.preprocess import Preprocessing
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.diff import diff_versions
from secondread.taxonomy import ClassInfo, Taxonomy


def version(*rows: tuple[str, str, str, str, str], parent: str = "", name: str = "a", size: int = 32) -> DatasetVersion:
    """A version of rows (image_id, pixel_hash, label, group_id, split), without pixels."""
    columns = ["image_id", "pixel_hash", "label", "group_id", "split"]
    frame = pd.DataFrame(rows, columns=columns, dtype="string")
    opened = DatasetVersion(
        root=Path(name),
        taxonomy=Taxonomy(tuple(ClassInfo(str(label)) for label in sorted(frame["label"].unique()))),
        preprocessing=Preprocessing(size=size),
        content_hash=name * 64,
        counts={},
        synthetic=False,
        parent=parent,
    )
    opened.__dict__["manifest"] = frame
    return opened


ROWS = [
    ("i1", "p1", "covid", "g1", "train"),
    ("i2", "p2", "covid", "g1", "train"),
    ("i3", "p3", "normal", "g3", "val"),
    ("i4", "p4", "normal", "g4", "test"),
    ("i5", "p5", "normal", "g5", "final_eval"),
]


def changed(row: tuple[str, ...], **values: str) -> tuple[str, ...]:
    names = ("image_id", "pixel_hash", "label", "group_id", "split")
    return tuple(values.get(name, old) for name, old in zip(names, row, strict=True))


def images(document: dict) -> dict[str, int]:
    kinds = ("added", "removed", "relabelled", "moved", "regrouped")
    return {kind: document[kind]["images"] for kind in kinds if document[kind]["images"]}


def test_a_version_does_not_differ_from_itself() -> None:
    document = diff_versions(version(*ROWS), version(*ROWS[::-1])).to_dict()
    assert images(document) == {}
    assert document["unchanged"] == 5
    assert document["same_content"]


def test_added_and_removed_are_counted_by_class_and_split() -> None:
    before, after = version(*ROWS[:4]), version(*ROWS[1:], parent="a" * 64, name="b")
    document = diff_versions(before, after).to_dict()
    assert images(document) == {"added": 1, "removed": 1}
    assert document["added"]["by_class"] == {"normal": 1}
    assert document["added"]["by_split"] == {"final_eval": 1}
    assert document["added"]["examples"] == ["i5"]
    assert document["removed"]["by_class"] == {"covid": 1}
    assert document["parent_and_child"]
    assert not document["same_content"]
    assert document["unchanged"] == 3


def test_a_relabelled_and_a_moved_image() -> None:
    after = version(
        *ROWS[:2], changed(ROWS[2], label="covid"), ROWS[3], changed(ROWS[4], split="train", label="covid"), name="b"
    )
    document = diff_versions(version(*ROWS), after).to_dict()
    assert images(document) == {"relabelled": 2, "moved": 1}
    assert document["relabelled"]["by_class"] == {"normal -> covid": 2}
    assert document["moved"]["by_split"] == {"final_eval -> train": 1}
    assert document["moved"]["by_class"] == {"covid": 1}
    assert document["unchanged"] == 3


def test_the_same_picture_in_another_file_is_the_same_image() -> None:
    after = version(changed(ROWS[0], image_id="re-encoded"), *ROWS[1:], name="b")
    document = diff_versions(version(*ROWS), after).to_dict()
    assert images(document) == {}
    assert document["other_file"] == 1


def test_the_same_file_twice_under_two_labels() -> None:
    twice = changed(ROWS[0], label="normal")
    document = diff_versions(version(*ROWS, twice), version(*ROWS)).to_dict()
    assert images(document) == {"removed": 1}
    assert document["removed"]["by_class"] == {"normal": 1}


def test_groups_are_compared_by_who_is_in_them_and_not_by_name() -> None:
    renamed = version(changed(ROWS[0], group_id="x"), changed(ROWS[1], group_id="x"), *ROWS[2:], name="b")
    assert images(diff_versions(version(*ROWS), renamed).to_dict()) == {}
    parted = version(ROWS[0], changed(ROWS[1], group_id="x"), *ROWS[2:], name="b")
    assert images(diff_versions(version(*ROWS), parted).to_dict()) == {"regrouped": 2}
    joined = version(*ROWS[:3], ROWS[3], changed(ROWS[4], group_id="g3"), name="b")
    assert images(diff_versions(version(*ROWS), joined).to_dict()) == {"regrouped": 2}


def test_a_new_companion_regroups_nobody() -> None:
    after = version(*ROWS, ("i6", "p6", "covid", "g1", "train"), name="b")
    assert images(diff_versions(version(*ROWS), after).to_dict()) == {"added": 1}


def test_classes_and_preprocessing_are_compared() -> None:
    after = version(*ROWS[:2], ("i6", "p6", "tuberculosis", "g6", "val"), name="b", size=48)
    document = diff_versions(version(*ROWS), after).to_dict()
    assert document["classes_added"] == ["tuberculosis"]
    assert document["classes_removed"] == ["normal"]
    assert not document["same_preprocessing"]


def test_no_value_is_cut_off_in_a_narrow_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    label = "a-class-with-a-name-that-is-longer-than-any-terminal-is-wide-" * 3
    print_diff(diff_versions(version(*ROWS), version(*ROWS, ("i6", "p6", label, "g6", "final_eval"))).to_dict())
    assert f"{label} 1" in capsys.readouterr().out


def test_people_read_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    after = version(*ROWS[1:4], changed(ROWS[4], split="train"), name="b", parent="a" * 64, size=48)
    print_diff(diff_versions(version(*ROWS), after).to_dict())
    text = capsys.readouterr().out
    assert "aaaaaaaaaaaa (5 images) -> bbbbbbbbbbbb (4 images, its child)" in text
    assert "32 px -> 48 px" in text
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert lines["removed"] == ["removed", "1", "1", "covid", "1", "train", "1", "i1"]
    assert lines["moved"] == ["moved", "1", "1", "normal", "1", "final_eval", "->", "train", "1", "i5"]
    assert "3 images unchanged" in text
