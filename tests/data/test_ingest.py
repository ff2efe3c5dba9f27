"""Ingest: what is kept, what is left out and why, and that nothing of a patient leaves the source."""

import stat
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from secondread.config import IngestConfig
from secondread.data.ingest import ingest
from secondread.data.manifest import read_manifest
from secondread.errors import InputError


def rejected(folder: Path) -> dict[str, str]:
    return pd.read_parquet(folder / "rejected.parquet").set_index("name")["reason"].to_dict()


def test_a_folder_of_class_folders_becomes_a_manifest(films: Callable[..., Path], tmp_path: Path) -> None:
    result = ingest(IngestConfig(source=str(films(cxr_normal=3, cxr_covid=2))), tmp_path / "out")
    rows = read_manifest(tmp_path / "out" / "manifest.parquet")
    assert result.kept == {"cxr-covid": 2, "cxr-normal": 3}
    assert list(rows["label"].value_counts().sort_index()) == [2, 3]
    assert set(rows["modality"]) == {"cxr"}
    assert set(rows["width"]) == {48}
    assert all((tmp_path / "out" / path).is_file() for path in rows["path"])


def test_a_file_name_is_not_kept_since_it_may_name_a_patient(
    films: Callable[..., Path], tmp_path: Path, film: Callable[[int], bytes]
) -> None:
    root = films(normal=2, covid=2)
    (root / "normal" / "Jane_Doe.png").write_bytes(film(77))
    ingest(IngestConfig(source=str(root)), tmp_path / "out")
    everything = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any(b"Jane_Doe" in path.read_bytes() or "Jane" in path.name for path in everything)


def test_dicom_leaves_only_its_pixels(shared_data: Path, tmp_path: Path) -> None:
    for label, name in (("a", "udacity-test1"), ("b", "udacity-test2")):
        (tmp_path / "in" / label).mkdir(parents=True)
        source = shared_data / "dicom" / f"{name}.dcm"
        (tmp_path / "in" / label / source.name).write_bytes(source.read_bytes())
    ingest(IngestConfig(source=str(tmp_path / "in")), tmp_path / "out")
    stored = [path for path in (tmp_path / "out" / "images").rglob("*") if path.is_file()]
    assert {path.suffix for path in stored} == {".png"}
    assert not any(b"DICM" in path.read_bytes() for path in stored)


def test_what_cannot_be_read_is_left_out_and_listed(
    films: Callable[..., Path], tmp_path: Path, film: Callable[[int], bytes]
) -> None:
    root = films(normal=3, covid=3)
    (root / "normal" / "empty.png").write_bytes(b"")
    (root / "normal" / "half.png").write_bytes(film(1)[:200])
    (root / "covid" / "text.jpg").write_text("no picture")
    result = ingest(IngestConfig(source=str(root)), tmp_path / "out")
    assert sum(result.kept.values()) == 6
    assert sum(result.rejected.values()) == 3
    reasons = rejected(tmp_path / "out")
    assert "empty" in reasons["normal/empty.png"]
    assert "truncated" in reasons["normal/half.png"]
    assert "no JPEG" in reasons["covid/text.jpg"]


def test_an_image_under_two_labels_is_left_out_of_both(
    films: Callable[..., Path], tmp_path: Path, film: Callable[[int], bytes]
) -> None:
    root = films(normal=3, covid=3)
    for label in ("normal", "covid"):
        (root / label / "both.png").write_bytes(film(5))
    result = ingest(IngestConfig(source=str(root)), tmp_path / "out")
    assert sum(result.kept.values()) == 6
    assert rejected(tmp_path / "out")["covid/both.png"] == "stands under two labels (covid, normal)."


def test_a_copy_is_kept_once(films: Callable[..., Path], tmp_path: Path) -> None:
    root = films(normal=3, covid=3)
    (root / "normal" / "copy.png").write_bytes((root / "normal" / "000.png").read_bytes())
    result = ingest(IngestConfig(source=str(root)), tmp_path / "out")
    assert result.rejected == {"is a copy of another file": 1}


def test_nothing_left_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "in" / "normal").mkdir(parents=True)
    (tmp_path / "in" / "normal" / "a.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="none of its 1 images can be used"):
        ingest(IngestConfig(source=str(tmp_path / "in")), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


@pytest.fixture
def csv_source(tmp_path: Path, film: Callable[[int], bytes]) -> Path:
    root = tmp_path / "in"
    root.mkdir()
    lines = ["path,label,patient_id,age"]
    for index in range(4):
        (root / f"{index}.png").write_bytes(film(index))
        lines.append(f"{index}.png,{'ab'[index % 2]},MRN-4711,{50 + index}")
    (root / "manifest.csv").write_text("\n".join(lines))
    return root


def test_a_patient_id_leaves_only_as_a_keyed_hash(tmp_path: Path, csv_source: Path) -> None:
    key = tmp_path / "keys" / "patient-1.key"
    ingest(IngestConfig(source=str(csv_source)), tmp_path / "out", patient_key=key)
    rows = read_manifest(tmp_path / "out" / "manifest.parquet")
    assert rows["patient_id"].nunique() == 1
    assert rows["patient_id"][0].startswith("k1-")
    assert "4711" not in rows["patient_id"][0]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert list(rows["age"]) == [50, 51, 52, 53]


def test_the_same_key_recognises_the_patient_and_another_does_not(tmp_path: Path, csv_source: Path) -> None:
    hashes = []
    for number, key in enumerate(("one", "one", "two")):
        ingest(IngestConfig(source=str(csv_source)), tmp_path / f"out{number}", patient_key=tmp_path / key)
        hashes.append(read_manifest(tmp_path / f"out{number}" / "manifest.parquet")["patient_id"][0])
    assert hashes[0] == hashes[1] != hashes[2]


def test_published_ids_are_kept(tmp_path: Path, csv_source: Path) -> None:
    ingest(IngestConfig(source=str(csv_source), public_ids=True), tmp_path / "out")
    assert set(read_manifest(tmp_path / "out" / "manifest.parquet")["patient_id"]) == {"MRN-4711"}


def test_ids_without_a_key_are_refused(tmp_path: Path, csv_source: Path) -> None:
    with pytest.raises(InputError, match="patient key"):
        ingest(IngestConfig(source=str(csv_source)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
