"""Ingest: what is kept, what is left out and why, and that nothing of a patient leaves the source."""

import hashlib
import io
import json
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, PngImagePlugin

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.ingest import ingest
from secondread.data.manifest import read_manifest
from secondread.data.pixels import gdcm_frame
from secondread.data.pixels.decode import DEFAULT_LIMITS, decode
from secondread.data.versions.version import write_dataset_version
from secondread.errors import DependencyError, InputError


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


def test_what_is_replaced_of_another_source_is_said_before_the_work_begins(
    films: Callable[..., Path], tmp_path: Path, film: Callable[[int], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    first, second, out = films("first", a=2, b=3), films("second", a=4, b=3), tmp_path / "out"
    known = {"urgent": ("a",), "routine": ("b",)}
    ingest(IngestConfig(source=str(first), **known), out)
    (first / "a" / "more.png").write_bytes(film(99))
    ingest(IngestConfig(source=str(first), **known), out)  # the same source, which has grown
    first.rename(tmp_path / "moved")
    ingest(IngestConfig(source=str(tmp_path / "moved"), **known), out)  # the same content in another place
    assert caplog.messages == []
    (second / "a" / "bad.png").write_bytes(b"")
    ingest(IngestConfig(source=str(second), **known), out)
    told, left_out = caplog.messages
    assert told == (
        f"{out} holds 6 images of {tmp_path / 'moved'}, which those of {second} will replace. "
        "To keep them, stop now and name another folder."
    )
    assert left_out.startswith("left out a/bad.png")
    assert len(read_manifest(out / "manifest.parquet")) == 7


@pytest.mark.parametrize("hide_names", [False, True], ids=["named", "hidden"])
def test_a_film_whose_decoder_does_not_start_is_named_and_not_left_out(
    films: Callable[..., Path],
    tmp_path: Path,
    dicom: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    hide_names: bool,
) -> None:
    root, plain = films(a=3, b=3), tmp_path / "plain.dcm"
    plain.write_bytes(dicom(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)))
    film = root / "b" / "Jane_Doe.dcm"
    subprocess.run(["dcmcjpls", plain, film], check=True)
    (tmp_path / "child.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    monkeypatch.setattr(gdcm_frame, "_PROGRAM", tmp_path / "child.py")
    name = f"the image with the hash {hashlib.sha256(film.read_bytes()).hexdigest()[:12]}"
    with pytest.raises(DependencyError, match=r"GDCM does not start here \(ended by SIGILL\)") as error:
        ingest(IngestConfig(source=str(root), hide_names=hide_names), tmp_path / "out", patient_key=tmp_path / "key")
    assert str(error.value).startswith(f"{name if hide_names else 'b/Jane_Doe.dcm'}: ")
    assert "\n" not in str(error.value)
    assert ("Jane" in str(error.value)) is not hide_names


def test_dicom_leaves_only_its_pixels(shared_data: Path, tmp_path: Path) -> None:
    for label, name in (("a", "udacity-test1"), ("b", "udacity-test2")):
        (tmp_path / "in" / label).mkdir(parents=True)
        source = shared_data / "dicom" / f"{name}.dcm"
        (tmp_path / "in" / label / source.name).write_bytes(source.read_bytes())
    ingest(IngestConfig(source=str(tmp_path / "in")), tmp_path / "out", patient_key=tmp_path / "key")
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
    assert result.rejected == {"is a copy of another image": 1}


def encoded_again(path: Path) -> bytes:
    """The same pixels in another file."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.save(buffer, format="PNG", compress_level=0)
    assert buffer.getvalue() != path.read_bytes()
    return buffer.getvalue()


def test_the_same_pixels_in_two_files_are_a_copy(films: Callable[..., Path], tmp_path: Path) -> None:
    root = films(normal=3, covid=3)
    (root / "normal" / "again.png").write_bytes(encoded_again(root / "normal" / "000.png"))
    ingest(IngestConfig(source=str(root)), tmp_path / "out")
    assert rejected(tmp_path / "out") == {"normal/again.png": "is a copy of another image."}


def test_the_same_pixels_in_two_files_under_two_labels_are_left_out_of_both(
    films: Callable[..., Path], tmp_path: Path
) -> None:
    root = films(normal=3, covid=3)
    (root / "covid" / "again.png").write_bytes(encoded_again(root / "normal" / "000.png"))
    ingest(IngestConfig(source=str(root)), tmp_path / "out")
    assert set(rejected(tmp_path / "out")) == {"covid/again.png", "normal/000.png"}


def test_the_pixel_hash_is_of_the_picture_at_full_size(films: Callable[..., Path], tmp_path: Path) -> None:
    root = films(normal=2, covid=2)
    ingest(IngestConfig(source=str(root)), tmp_path / "out")
    for row in read_manifest(tmp_path / "out" / "manifest.parquet").itertuples():
        with Image.open(tmp_path / "out" / row.path) as image:
            content = f"{image.height} {image.width} ".encode() + np.asarray(image).tobytes()
        assert row.pixel_hash == hashlib.sha256(content).hexdigest()


def test_stored_files_hold_pixels_only(films: Callable[..., Path], tmp_path: Path) -> None:
    root = films(normal=2, covid=2)
    tags, text = Image.Exif(), PngImagePlugin.PngInfo()
    tags[0x010E] = "Jane Doe"
    text.add_text("Patient", "Jane Doe")
    for name, options in (("a.jpg", {"exif": tags}), ("b.png", {"pnginfo": text})):
        noise = np.random.default_rng(len(name)).integers(0, 256, (40, 48), dtype=np.uint8)
        Image.fromarray(noise ^ ord(name[0])).save(root / "normal" / name, **options)
        assert b"Jane Doe" in (root / "normal" / name).read_bytes()
    ingest(IngestConfig(source=str(root)), tmp_path / "out")
    assert not any(b"Jane" in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    rows = read_manifest(tmp_path / "out" / "manifest.parquet").set_index("image_id")
    for name in ("a.jpg", "b.png"):
        source = (root / "normal" / name).read_bytes()
        stored = tmp_path / "out" / rows.loc[hashlib.sha256(source).hexdigest(), "path"]
        assert stored.stem == hashlib.sha256(stored.read_bytes()).hexdigest()
        np.testing.assert_array_equal(decode(stored.read_bytes()), decode(source))


def test_a_film_that_a_viewer_would_turn_is_left_out_and_listed(films: Callable[..., Path], tmp_path: Path) -> None:
    root = films(normal=2, covid=2)
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48), np.uint8)).save(
        root / "normal" / "phone.jpg", exif=tags
    )
    ingest(IngestConfig(source=str(root)), tmp_path / "out")
    assert "EXIF orientation 6" in rejected(tmp_path / "out")["normal/phone.jpg"]


def test_hidden_names_stand_neither_in_the_record_nor_in_the_log(
    films: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = films(normal=3, covid=3)
    (root / "normal" / "Doe_Jack, born '70.txt").write_text("no image")
    (root / "normal" / "Doe_Jane.png").write_bytes(b"broken")
    (root / "normal" / "Doe_John.png").write_bytes((root / "normal" / "000.png").read_bytes())
    with (root / "normal" / "Doe_Jim.png").open("wb") as file:
        file.truncate(100 << 20)  # too large to be read, so that it has no hash
    ingest(IngestConfig(source=str(root), hide_names=True), tmp_path / "out")
    reasons = rejected(tmp_path / "out")
    assert len(reasons) == 3
    assert hashlib.sha256(b"broken").hexdigest()[:12] in reasons
    assert any(re.fullmatch(r"image \d of the source", name) for name in reasons)
    assert len([record for record in caplog.messages if "left out" in record]) == 4
    assert "Doe" not in caplog.text
    assert not any(b"Doe" in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_what_is_too_large_or_no_film_is_left_out_by_the_limits_of_every_other_step(
    films: Callable[..., Path], tmp_path: Path
) -> None:
    root = films(normal=3, covid=3)
    Image.fromarray(np.zeros((4, 1000), np.uint8)).save(root / "normal" / "strip.png")
    with (root / "covid" / "large.png").open("wb") as file:
        file.truncate(DEFAULT_LIMITS.max_bytes + 1)
    ingest(IngestConfig(source=str(root)), tmp_path / "out")
    reasons = rejected(tmp_path / "out")
    assert "is no film (1000 x 4 pixels)" in reasons["normal/strip.png"]
    assert f"more than the limit of {DEFAULT_LIMITS.max_bytes}" in reasons["covid/large.png"]


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


@pytest.fixture
def dicom_folder(tmp_path: Path, dicom: Callable[..., bytes]) -> Path:
    """Two classes of 12 patients with two films each; nothing but the headers says whose they are."""
    root = tmp_path / "in"
    for number in range(48):
        label, patient = ("normal", "covid")[number % 2], number // 4 * 2 + number % 2
        film = np.random.default_rng(number).integers(0, 4096, (24, 24)).astype(np.uint16)
        (root / label).mkdir(parents=True, exist_ok=True)
        data = dicom(film, PatientID=f"MRN-{patient}", PatientName="Doe^Jane", StudyInstanceUID=f"1.2.{number}")
        (root / label / f"{number}.dcm").write_bytes(data)
    return root


def test_films_of_one_patient_in_a_folder_of_dicoms_stay_in_one_split(tmp_path: Path, dicom_folder: Path) -> None:
    ingest(IngestConfig(source=str(dicom_folder)), tmp_path / "ingested", patient_key=tmp_path / "key")
    assert not any(
        secret in path.read_bytes()
        for path in (tmp_path / "ingested").rglob("*")
        if path.is_file()
        for secret in (b"MRN", b"Doe", b"1.2.7")
    )
    version = write_dataset_version(tmp_path / "ingested", tmp_path / "dataset", PreprocessConfig(image_size=16))
    patients = version.manifest.groupby("patient_id")
    assert patients.ngroups == 24
    assert set(patients.size()) == {2}
    assert set(patients["group_id"].nunique()) == {1}
    assert set(patients["split"].nunique()) == {1}
    assert version.manifest["study_id"].nunique() == 48


def test_the_ids_of_a_manifest_come_before_those_of_the_header(tmp_path: Path, dicom: Callable[..., bytes]) -> None:
    root = tmp_path / "in"
    root.mkdir()
    lines = ["path,label,patient_id"]
    for number in range(2):
        film = np.random.default_rng(number).integers(0, 4096, (24, 24)).astype(np.uint16)
        (root / f"{number}.dcm").write_bytes(dicom(film, PatientID="header", StudyInstanceUID="1.2.3"))
        lines.append(f"{number}.dcm,{'ab'[number]},{['listed', ''][number]}")
    (root / "manifest.csv").write_text("\n".join(lines))
    ingest(IngestConfig(source=str(root), public_ids=True), tmp_path / "out")
    rows = read_manifest(tmp_path / "out" / "manifest.parquet")
    assert list(rows["patient_id"]) == ["listed", "header"]
    assert list(rows["study_id"]) == ["1.2.3", "1.2.3"]


def test_one_film_as_dicom_and_as_png_is_a_copy(tmp_path: Path, dicom: Callable[..., bytes]) -> None:
    """The DICOM stays, since it says who the patient is."""
    for label in ("normal", "covid"):
        (tmp_path / "in" / label).mkdir(parents=True)
    film = np.random.default_rng(0).integers(0, 4096, (24, 24)).astype(np.uint16)
    Image.fromarray(film).save(tmp_path / "in" / "normal" / "a.png")
    (tmp_path / "in" / "normal" / "b.dcm").write_bytes(dicom(film, PatientID="P1"))
    Image.fromarray(film[::-1].copy()).save(tmp_path / "in" / "covid" / "c.png")
    ingest(IngestConfig(source=str(tmp_path / "in"), public_ids=True), tmp_path / "out")
    assert set(rejected(tmp_path / "out")) == {"normal/a.png"}


def test_the_urgency_of_classes_is_stated_and_told_of_where_nobody_states_it(
    films: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = str(films(cxr_pneumonia=3, cxr_nodule=3, cxr_other=3))
    result = ingest(IngestConfig(source, urgent=("cxr-pneumonia",), routine=("cxr-other",)), tmp_path / "out")
    found = {info.name: info.urgency for info in result.taxonomy.classes}
    assert found == {"cxr-nodule": "unknown", "cxr-other": "routine", "cxr-pneumonia": "urgent"}
    assert "nobody said how urgent cxr-nodule is" in caplog.text
    write_dataset_version(tmp_path / "out", tmp_path / "dataset", PreprocessConfig(image_size=32))
    document = json.loads((tmp_path / "dataset" / "dataset.json").read_text(encoding="utf-8"))
    assert {info["name"]: info["urgency"] for info in document["taxonomy"]["classes"]} == found


def test_an_urgency_of_a_class_that_is_not_there_is_refused_before_anything_is_read(
    films: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="'cxr-pneumonai' is said to be urgent or routine, but the classes are"):
        ingest(IngestConfig(str(films(cxr_pneumonia=2)), urgent=("cxr-pneumonai",)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
