"""A worklist's folder: read back it is the same, written once, and nobody changes it unseen."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secondread.atomic import sha256_bytes, sha256_file
from secondread.config.risk_dial import RiskDialConfig
from secondread.errors import InputError, IntegrityError
from secondread.evaluation.reading_room.model_readings import ModelReadings
from secondread.evaluation.reading_room.worklist import ClosingRule, Worklist, close_studies
from secondread.evaluation.worklist_folder import read_worklist, write_worklist


def worklist() -> Worklist:
    """Two hundred studies, some torn, some strange, some that the first reader calls otherwise."""
    rng, names = np.random.default_rng(0), ("cxr-normal", "cxr-covid")
    labels = [names[each] for each in rng.integers(0, 2, 200)]
    labels[3] = ""
    confidence = rng.uniform(0.5, 1, 200).astype(np.float32)
    confidence[3] = np.nan
    ids = [sha256_bytes(str(each).encode()) for each in range(200)]
    readings = ModelReadings(
        model="secondread",
        version="3",
        digest="ab" * 32,
        classes=names,
        image_ids=("", *ids[1:]),
        paths=tuple(f'ward "{each % 3}", bed/{each}.png' for each in range(200)),
        labels=("", *labels[1:]),
        confidence=np.array([np.nan, *confidence[1:]], np.float32),
        out_of_distribution=rng.random(200) < 0.1,
    )
    first = ["", *(label if rng.random() < 0.8 else "other" for label in labels[1:])]
    return close_studies(readings, first, ClosingRule(0.7, RiskDialConfig(audit_share=0.2)), seed="beacon 4711")


def test_read_back_it_is_the_same(tmp_path: Path) -> None:
    written = worklist()
    write_worklist(written, tmp_path / "list")
    found = read_worklist(tmp_path / "list")
    assert (found.reasons, found.rule, found.seed, found.first) == (
        written.reasons,
        written.rule,
        written.seed,
        written.first,
    )
    assert found.readings.image_ids == written.readings.image_ids
    assert found.readings.paths == written.readings.paths
    assert np.array_equal(found.readings.confidence, written.readings.confidence, equal_nan=True)
    assert np.array_equal(found.lots, written.lots, equal_nan=True)


def test_it_says_what_becomes_of_each_study_and_by_which_promise_and_seed(tmp_path: Path) -> None:
    written = worklist()
    document = write_worklist(written, tmp_path / "list")
    assert document == json.loads((tmp_path / "list" / "worklist.json").read_text())
    assert (document["seed"], document["digest"], document["rule"]["accepted"]) == ("beacon 4711", "ab" * 32, 0.01)
    table = pd.read_csv(tmp_path / "list" / "worklist.csv", keep_default_na=False)
    assert document["closed"] == (table["decision"] == "closed").sum() == written.closed
    assert sum(document["escalated"].values()) + document["closed"] == document["studies"] == 200
    assert set(table.columns).isdisjoint({"patient", "patient_id", "group_id"})


def test_the_form_for_the_audit_tells_nothing_that_was_said(tmp_path: Path) -> None:
    written = worklist()
    write_worklist(written, tmp_path / "list")
    form = pd.read_csv(tmp_path / "list" / "audit.csv", keep_default_na=False)
    assert list(form.columns) == ["image_id", "path", "label"]
    assert form["image_id"].tolist() == [written.readings.image_ids[each] for each in np.flatnonzero(written.drawn)]
    assert (form["label"] == "").all()
    assert len(form) > 5


def test_it_is_written_once(tmp_path: Path) -> None:
    write_worklist(worklist(), tmp_path / "list")
    before = sha256_file(tmp_path / "list" / "worklist.json")
    (tmp_path / "list" / "audit.csv").write_text("filled in")
    with pytest.raises(InputError, match="list is there already: a worklist is written once"):
        write_worklist(worklist(), tmp_path / "list")
    assert sha256_file(tmp_path / "list" / "worklist.json") == before
    assert (tmp_path / "list" / "audit.csv").read_text() == "filled in"


def changed(folder: Path, old: str, new: str, *, cover: bool) -> None:
    """Change the first such words of the studies, and cover the traces if asked."""
    studies, about = folder / "worklist.csv", folder / "worklist.json"
    text = studies.read_text()
    assert old in text
    studies.write_text(text.replace(old, new, 1))
    if cover:
        about.write_text(json.dumps({**json.loads(about.read_text()), "sha256": sha256_file(studies)}))


def test_a_change_is_seen_and_a_change_of_a_decision_or_a_lot_even_where_its_traces_were_covered(
    tmp_path: Path,
) -> None:
    for cover, words in ((False, r"worklist\.csv was changed after it was written"), (True, "does not follow from")):
        for old, new in ((",yes\n", ",\n"), (",escalated,not sure enough", ",closed,")):
            folder = tmp_path / f"{cover}-{old.strip()}"
            write_worklist(worklist(), folder)
            changed(folder, old, new, cover=cover)
            with pytest.raises(IntegrityError, match=words):
                read_worklist(folder)


def test_another_seed_than_the_one_that_drew_is_seen(tmp_path: Path) -> None:
    write_worklist(worklist(), tmp_path / "list")
    about = tmp_path / "list" / "worklist.json"
    about.write_text(about.read_text().replace("beacon 4711", "beacon 4712"))
    with pytest.raises(IntegrityError, match="does not follow from its own rule and seed"):
        read_worklist(tmp_path / "list")


def test_what_is_no_worklist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"worklist\.json is missing"):
        read_worklist(tmp_path)
    write_worklist(worklist(), tmp_path / "list")
    (tmp_path / "list" / "worklist.json").write_text("{}")
    with pytest.raises(IntegrityError, match="is a damaged worklist"):
        read_worklist(tmp_path / "list")
    (tmp_path / "list" / "worklist.csv").unlink()
    with pytest.raises(IntegrityError, match="is a damaged worklist"):
        read_worklist(tmp_path / "list")
