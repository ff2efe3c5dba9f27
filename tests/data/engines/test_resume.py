"""A run that was killed is gone on with, and ends in the same bytes as one that was not."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data import intake, reading
from secondread.data.engines import journal
from secondread.data.engines.journal import Journal
from secondread.data.fingerprint import pixel_packages
from secondread.data.ingest import ingest
from secondread.data.intake import StoredImage
from secondread.data.sources.source import SourceImage
from secondread.data.versions import shards
from secondread.data.versions.version import write_dataset_version
from secondread.errors import DependencyError

BATCH = 4

# a run of the command line that is killed when its second batch is in the journal
_KILLED = f"""
import os, signal, sys
from secondread.data import reading
from secondread.data.versions import shards
from secondread.data.engines.journal import Journal
from secondread.data.fingerprint import pixel_packages
from secondread.cli.main import main
reading.BATCH_IMAGES = shards._PART_IMAGES = {BATCH}
write = Journal.write
def write_and_die(self, number, document):
    write(self, number, document)
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
Journal.write = write_and_die
main()
"""

# one that is killed after the last batch, when it comes to call a function of a module
_KILLED_LATER = f"""
import importlib, os, signal, sys
from secondread.data import reading
from secondread.data.versions import shards
from secondread.cli.main import main
reading.BATCH_IMAGES = shards._PART_IMAGES = {BATCH}
module, name = sys.argv.pop(1).split(":")
setattr(importlib.import_module(module), name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
main()
"""


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH_IMAGES", BATCH)
    monkeypatch.setattr(shards, "_PART_IMAGES", BATCH)


@pytest.fixture
def root(films: Callable[..., Path], film: Callable[[int], bytes]) -> Path:
    """40 films, three of which are left out."""
    root = films(normal=20, covid=17)
    (root / "covid" / "copy.png").write_bytes((root / "covid" / "000.png").read_bytes())
    (root / "covid" / "half.png").write_bytes(film(1)[:200])
    (root / "normal" / "empty.png").write_bytes(b"")
    return root


def killed(*command: str, program: str = _KILLED) -> None:
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def left_beside(folder: Path) -> list[str]:
    return sorted(re.sub(r"[0-9a-f]{16}", "KEY", path.name) for path in folder.parent.glob(".*"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that were read, in any order."""
    names: list[str] = []
    store = reading.store_images

    def noted(images: list[SourceImage], **others: object) -> list[StoredImage]:
        names.extend(image.name for image in images)
        return store(images, **others)

    monkeypatch.setattr(reading, "store_images", noted)
    return names


def test_a_killed_ingest_goes_on_where_it_was(
    root: Path, tmp_path: Path, asked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    killed("data", "ingest", str(root), "--output", str(out))
    assert not out.exists()
    assert left_beside(out) == [".out.resume-KEY.lock", ".out.resume-KEY.partial"]
    with caplog.at_level("INFO", logger="secondread"):
        ingest(IngestConfig(source=str(root)), out)
    assert "going on where a run was cut: 8 of 40 images are done" in caplog.text
    assert len(asked) == 32
    assert left_beside(out) == []
    ingest(IngestConfig(source=str(root)), tmp_path / "at-once")
    assert everything(out) == everything(tmp_path / "at-once")


@pytest.mark.parametrize(
    "at",
    [
        "secondread.data.cleaning.contradictions:find_near_duplicates",
        "secondread.data.cleaning.contradictions:find_cropped_copies",
        "secondread.data.ingest:write_json",
    ],
    ids=["near duplicates", "cropped copies", "the last record"],
)
def test_an_ingest_that_is_killed_after_reading_reads_no_image_again(
    root: Path, tmp_path: Path, asked: list[str], caplog: pytest.LogCaptureFixture, at: str
) -> None:
    out = tmp_path / "out"
    killed(at, "data", "ingest", str(root), "--output", str(out), program=_KILLED_LATER)
    assert not out.exists()
    with caplog.at_level("INFO", logger="secondread"):
        ingest(IngestConfig(source=str(root)), out)
    assert asked == []
    assert "40 of 40 images are done" in caplog.text
    assert left_beside(out) == []
    ingest(IngestConfig(source=str(root)), tmp_path / "at-once")
    assert everything(out) == everything(tmp_path / "at-once")


def test_a_preprocess_that_is_killed_after_the_last_image_makes_none_again(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ingest(IngestConfig(source=str(root)), tmp_path / "in")
    out, at = tmp_path / "out", "secondread.data.versions.version:write_manifest"
    command = (at, "data", "preprocess", str(tmp_path / "in"), "--output", str(out), "--image-size", "32")
    killed(*command, program=_KILLED_LATER)
    with caplog.at_level("INFO", logger="secondread"):
        write_dataset_version(tmp_path / "in", out, PreprocessConfig(image_size=32))
    assert "37 of 37 images are done" in caplog.text
    write_dataset_version(tmp_path / "in", tmp_path / "at-once", PreprocessConfig(image_size=32))
    assert everything(out) == everything(tmp_path / "at-once")
    assert left_beside(out) == []


def test_a_copy_that_is_gone_is_made_again(root: Path, tmp_path: Path, asked: list[str]) -> None:
    out = tmp_path / "out"
    killed("data", "ingest", str(root), "--output", str(out))
    (left,) = tmp_path.glob(".out.*.partial")
    done = json.loads((left / ".journal" / "000000.json").read_text())
    (left / done["path"][0]).write_bytes(b"")
    ingest(IngestConfig(source=str(root)), out)
    assert len(asked) == 36
    ingest(IngestConfig(source=str(root)), tmp_path / "at-once")
    assert everything(out) == everything(tmp_path / "at-once")


def test_another_source_starts_anew(root: Path, film: Callable[[int], bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed("data", "ingest", str(root), "--output", str(out))
    (root / "normal" / "000.png").write_bytes(film(4711))
    ingest(IngestConfig(source=str(root)), out)
    assert left_beside(out) == []
    ingest(IngestConfig(source=str(root)), tmp_path / "at-once")
    assert everything(out) == everything(tmp_path / "at-once")


def test_other_codecs_start_anew(root: Path, tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One picture decoded by two versions of libjpeg-turbo may differ by a grey level."""
    out = tmp_path / "out"
    killed("data", "ingest", str(root), "--output", str(out))
    monkeypatch.setattr(journal, "pixel_packages", lambda: pixel_packages() | {"simplejpeg": "1.0"})
    ingest(IngestConfig(source=str(root)), out)
    assert len(asked) == 40
    assert left_beside(out) == []


@pytest.mark.parametrize("same_key", [True, False], ids=["same key", "other key"])
def test_no_name_and_no_patient_stands_in_what_a_killed_run_leaves(
    tmp_path: Path, film: Callable[[int], bytes], same_key: bool
) -> None:
    root = tmp_path / "films"
    root.mkdir()
    lines = ["path,label,patient_id"]
    for number in range(12):
        (root / f"Jane_Doe_{number}.png").write_bytes(film(number))
        lines.append(f"Jane_Doe_{number}.png,{'ab'[number % 2]},MRN-{number // 2}")
    (root / "manifest.csv").write_text("\n".join(lines))
    out = tmp_path / "out"
    killed("data", "ingest", str(root), "--output", str(out))
    (left,) = tmp_path.glob(".out.*.partial")
    written = everything(left)
    assert any(b'"k1-' in content for content in written.values())
    assert not any(b"MRN" in content or b"Jane" in content for content in written.values())
    key = Path(os.environ["SECONDREAD_HOME"]) / "keys" / "patient-1.key" if same_key else tmp_path / "other.key"
    ingest(IngestConfig(source=str(root)), out, patient_key=key)
    ingest(IngestConfig(source=str(root)), tmp_path / "at-once", patient_key=key)
    assert everything(out) == everything(tmp_path / "at-once")


@pytest.mark.parametrize("damaged", [False, True], ids=["whole", "damaged"])
def test_a_killed_preprocess_goes_on_where_it_was(
    root: Path, tmp_path: Path, damaged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ingest(IngestConfig(source=str(root)), tmp_path / "in")
    out = tmp_path / "out"
    killed("data", "preprocess", str(tmp_path / "in"), "--output", str(out), "--image-size", "32")
    (left,) = tmp_path.glob(".out.*.partial")
    if damaged:
        with (left / "images-train.npy").open("r+b") as file:
            file.seek(200)
            file.write(b"\xff\x00\xff")
    with caplog.at_level("INFO", logger="secondread"):
        write_dataset_version(tmp_path / "in", out, PreprocessConfig(image_size=32))
    assert f"{4 if damaged else 8} of 37 images are done" in caplog.text
    write_dataset_version(tmp_path / "in", tmp_path / "at-once", PreprocessConfig(image_size=32))
    assert everything(out) == everything(tmp_path / "at-once")
    assert left_beside(out) == []


def test_a_journal_that_a_power_cut_damaged_is_not_believed(tmp_path: Path) -> None:
    kept = Journal(tmp_path)
    kept.write(0, ["a"])
    assert (kept.read(0), kept.read(1)) == (["a"], None)
    (tmp_path / ".journal" / "000000.json").write_bytes(b'["')
    assert kept.read(0) is None


def test_two_runs_do_not_write_one_folder(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(*arguments: object, **others: object) -> None:
        ingest(IngestConfig(source=str(root)), tmp_path / "out")

    monkeypatch.setattr(reading, "work_through", meanwhile)
    with pytest.raises(DependencyError, match=r"another run is writing .*/out\. Wait until it has ended"):
        ingest(IngestConfig(source=str(root)), tmp_path / "out")


def test_a_full_disk_is_said_and_what_is_done_stays(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    last, write = (root / "normal" / "010.png").read_bytes(), intake._write_bytes

    def fill(path: str, content: bytes) -> None:
        if content == last:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(intake, "_write_bytes", fill)
    with pytest.raises(DependencyError, match=r"no room is left for .*/out\. Free space and start the run again"):
        ingest(IngestConfig(source=str(root)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(intake, "_write_bytes", write)
    with caplog.at_level("INFO", logger="secondread"):
        ingest(IngestConfig(source=str(root)), tmp_path / "out")
    assert "going on where a run was cut: 28 of 40 images are done" in caplog.text
