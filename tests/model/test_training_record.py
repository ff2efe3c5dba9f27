"""What a model folder says of its training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from secondread.errors import IntegrityError
from secondread.model.training_record import (
    GivenAway,
    SetAudit,
    SetFinding,
    SourceCount,
    StartedFrom,
    TrainingRecord,
)

RECORD = TrainingRecord(
    dataset_version="d" * 64,
    counts={"train": {"cxr-normal": 7}},
    sources=(SourceCount("hospital-a", "CC0", 7),),
    preset="vit-64",
    epochs=3,
    best_epoch=2,
    seconds=1.5,
    processes=1,
    seed=0,
    start=StartedFrom("e" * 64, labelled=True, may_have_seen=False),
    audit=SetAudit(
        (
            GivenAway("source", "cxr", "serious", 0.9, 0.85, 0.95, 0.5, 100, "the source alone tells the label"),
            GivenAway("age", "cxr", "none", 0.5, 0.45, 0.55, 0.5, 100, "the age alone tells next to nothing"),
        ),
        (SetFinding("near_duplicates", "Near duplicates", "worth a look", "2 images form 1 cluster."),),
        ("left out of the shortcuts: cxr-rare.",),
    ),
)


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, start=None, audit=None)])
def test_what_was_written_is_read(record: TrainingRecord, tmp_path: Path) -> None:
    record.write(tmp_path)
    assert TrainingRecord.read(tmp_path) == record


def test_a_folder_of_before_says_nothing(tmp_path: Path) -> None:
    assert TrainingRecord.read(tmp_path) is None


@pytest.mark.parametrize(
    "damage", [{"start": {"version": "e"}}, {"audit": {"shortcuts": []}}, {"sources": [{"name": 1}]}, {"new": 1}]
)
def test_a_damaged_record_is_named(damage: dict[str, object], tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    path = tmp_path / "training.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(IntegrityError, match=r"training\.json is no record of a training"):
        TrainingRecord.read(tmp_path)


def test_only_what_tells_something_of_the_label_is_telling() -> None:
    assert RECORD.audit is not None
    assert [item.name for item in RECORD.audit.telling] == ["source"]
