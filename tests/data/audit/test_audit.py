"""What the audit finds, unaided: in the public sets, and what was planted in phantoms."""

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from secondread.config.audit import AuditConfig
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.audit.audit import Audit, audit, check_gate
from secondread.data.audit.subject import Subject, open_subject
from secondread.data.ingest import ingest
from secondread.data.versions.version import write_dataset_version
from secondread.errors import GateRefused, InputError


def test_nih_covid_3_patients_with_several_labels_and_what_view_age_and_source_give_away(
    audited: Callable[[str], Audit], by_name: Callable[..., Any]
) -> None:
    result = audited("nih-covid-3")
    patients = by_name(result, "patients_with_several_labels")
    assert (patients.severity, patients.count) == ("worth a look", 21)
    for name, severity in (("source", "serious"), ("view", "worth a look"), ("age", "worth a look")):
        found = by_name(result, name)
        assert found.severity == severity
        assert found.low > found.chance == pytest.approx(1 / 3)
    source = by_name(result, "source")
    assert source.by_class["cxr-covid"].startswith("ieee8023/covid-chestxray-dataset 100%")
    assert source.value == pytest.approx(2 / 3, abs=0.02)  # two of its three classes share a source


def test_radiography_4_source_and_borders_give_the_label_away(
    audited: Callable[[str], Audit], by_name: Callable[..., Any]
) -> None:
    result = audited("radiography-4")
    for name in ("source", "border_pixels", "corners"):
        assert by_name(result, name).severity == "serious"
    assert by_name(result, "border_pixels").low > 0.6
    assert by_name(result, "images_without_patient").count == 1260
    assert result.missing["view"]["all"] == 1


def test_pneumoniamnist_images_in_train_and_val_and_repeats_within_train(
    audited: Callable[[str], Audit], by_name: Callable[..., Any], shared_data: Path
) -> None:
    result = audited("pneumoniamnist-28/pneumoniamnist-train-val.npz")
    with np.load(shared_data / "pneumoniamnist-28" / "pneumoniamnist-train-val.npz") as file:
        train, val = ([image.tobytes() for image in file[f"{split}_images"]] for split in ("train", "val"))
    across = by_name(result, "across_original_splits")
    assert across.count == len(set(train) & set(val)) > 0
    assert across.severity == "worth a look"
    assert "in train and val" in across.sentence
    repeated = by_name(result, "repeated")
    assert repeated.count == len(train) - len(set(train)) + len(val) - len(set(val)) > 0
    assert "in train" in repeated.sentence


def test_the_same_film_under_different_labels_of_two_sets(
    shared_data: Path, tmp_path: Path, by_name: Callable[..., Any]
) -> None:
    """Films of one set that a second one has under a coarser label, small, as JPEG again, and half of them cropped."""
    root, rows = tmp_path / "in", []
    for name in ("radiography-4", "covid-chestxray"):
        with (shared_data / name / "manifest.csv").open() as file:
            chosen = list(csv.DictReader(file))[:: 32 if name == "radiography-4" else 6]
        for row in chosen:
            path = root / name / row["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shared_data / name / row["path"], path)
            rows.append({"path": f"{name}/{row['path']}", "label": row["label"], "source": name})
    taken = [row for row in rows if row["label"] == "cxr-viral-pneumonia" and row["source"] == "radiography-4"][:8]
    for number, row in enumerate(taken):
        with Image.open(root / row["path"]) as image:
            buffer = io.BytesIO()
            box = (9, 4, image.width - 5, image.height - 12) if number % 2 else None
            image.resize((128, 128), Image.Resampling.BICUBIC, box=box).save(buffer, "JPEG", quality=60)
        (root / f"{number}.jpg").write_bytes(buffer.getvalue())
        rows.append({"path": f"{number}.jpg", "label": "cxr-pneumonia", "source": "covid-chestxray"})
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "source"])
        writer.writeheader()
        writer.writerows(rows)
    for keep, severity in ((False, "worth a look"), (True, "serious")):
        output = tmp_path / f"out-{keep}"
        ingest(IngestConfig(source=str(root), leave_out_contradictions=not keep), output)
        result = audit(open_subject(output), AuditConfig())
        found = by_name(result, "pictures_under_several_labels")
        assert (found.severity, found.count) == (severity, 8)
        assert "8 cxr-pneumonia / cxr-viral-pneumonia), 8 of them in two sources" in found.sentence
    assert "8 of several sources" in by_name(result, "near_duplicates").sentence


def test_phantoms_without_a_trap_have_nothing_serious(plain_subject: Subject) -> None:
    result = audit(plain_subject, AuditConfig())
    assert not result.as_bad_as("serious")
    assert {item.severity for item in result.findings} == {"none"}
    assert {"border_pixels", "corners", "age", "sex"} <= {item.name for item in result.shortcuts}


def test_a_mark_at_the_border_of_one_class_is_found_with_pictures_of_it(
    phantoms: Callable[..., Path], by_name: Callable[..., Any]
) -> None:
    def mark(label: str, film: np.ndarray) -> np.ndarray:
        if label == "cxr-opacity":
            film[:8, 40:52] = 255
        return film

    subject = open_subject(phantoms(mark))
    result = audit(subject, AuditConfig())
    found = by_name(result, "border_pixels")
    assert found.severity == result.severity == "serious"
    assert found.low > 0.9
    assert all(subject.read(position)[2, 45] > 250 for position in found.shown["cxr-opacity"])
    assert len(found.shown["cxr-normal"]) == 4
    assert by_name(result, "corners").severity != "serious"


def test_what_is_planted_in_a_field_is_found(plain_subject: Subject, by_name: Callable[..., Any]) -> None:
    subject = Subject(**{**vars(plain_subject), "rows": plain_subject.rows.copy()})
    sick = subject.rows["label"] == "cxr-opacity"
    subject.rows.loc[sick, "age"] += 70
    subject.rows.loc[sick, "view"] = "PA"
    subject.rows.loc[~sick, "width"] = 2048
    result = audit(subject, AuditConfig())
    assert {item.name for item in result.shortcuts if item.severity == "serious"} == {"age", "view", "image_size"}
    assert by_name(result, "view").value == 1
    assert by_name(result, "view").by_class == {"cxr-normal": "AP 100%", "cxr-opacity": "PA 100%"}


def test_a_dataset_version_is_audited_on_the_pixels_that_a_model_sees(plain_phantoms: Path, tmp_path: Path) -> None:
    version = write_dataset_version(plain_phantoms, tmp_path / "version", PreprocessConfig(image_size=32))
    result = audit(open_subject(tmp_path / "version"), AuditConfig())
    assert (result.kind, result.name, result.images) == ("dataset version", version.name, len(version.manifest))
    assert set(result.counts["split"]) == {"train", "val", "test"}
    assert not result.as_bad_as("serious")
    assert {item.severity for item in result.findings} == {"none"}


def test_the_audit_of_a_set_is_the_same_each_time(plain_subject: Subject) -> None:
    assert audit(plain_subject, AuditConfig()) == audit(plain_subject, AuditConfig())


def test_no_more_images_are_read_than_asked_for(plain_subject: Subject) -> None:
    read = []

    def count(position: int) -> np.ndarray:
        read.append(position)
        return plain_subject.read(position)

    result = audit(Subject(**{**vars(plain_subject), "read": count}), AuditConfig(sample_images=100))
    assert len(read) == len(set(read)) <= 110
    assert {item.images for item in result.shortcuts} == {len(read)}
    assert result.images == 200


def test_it_says_how_far_it_is(plain_subject: Subject, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="secondread"):
        result = audit(plain_subject, AuditConfig(sample_images=100, resamples=100))
    said = [record.getMessage() for record in caplog.records]
    pictures, traits = result.shortcuts[0].images, len(result.shortcuts)
    assert said[-1] == f"measuring shortcuts in cxr: {traits} of {traits}"
    assert f"looking at pictures: {pictures} of {pictures}" in said
    first = next(at for at, line in enumerate(said) if line.startswith("measuring"))
    assert 1 < first < len(said) - 1
    assert all(line.startswith("looking at pictures: ") for line in said[:first])


def test_a_gate_refuses_what_is_as_bad_as_it_says(plain_subject: Subject) -> None:
    result = audit(plain_subject, AuditConfig())
    check_gate(result, "serious", Path("audit.html"))
    rows = plain_subject.rows.assign(patient_id="")
    worse = audit(Subject(**{**vars(plain_subject), "rows": rows}), AuditConfig())
    check_gate(worse, "serious", Path("audit.html"))
    check_gate(worse, "", Path("audit.html"))
    with pytest.raises(GateRefused, match=r"thing\(s\) that are worth a look or worse.*patient is not known"):
        check_gate(worse, "worth a look", Path("audit.html"))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither ingested images nor a dataset version"):
        open_subject(tmp_path)
