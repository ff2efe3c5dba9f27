"""Whichever engine does the work, and whoever dies meanwhile, the same bytes are written."""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secondread.config.engine import EngineConfig
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data import ingest as ingest_module
from secondread.data import reading, shards, version
from secondread.data.ingest import ingest
from secondread.data.sources.open import open_source
from secondread.data.sources.source import SourceImage
from secondread.data.version import write_dataset_version
from secondread.errors import InputError

BATCH = 4
Read = Callable[[], bytes]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH_IMAGES", BATCH)
    monkeypatch.setattr(shards, "_PART_IMAGES", BATCH)


@pytest.fixture
def ray(ray_cluster: str) -> EngineConfig:
    return EngineConfig(engine="ray", ray_address=ray_cluster)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class OtherReads:
    """A source whose images are read in another way."""

    def __init__(self, root: Path, change: Callable[[int, Read], Read]) -> None:
        self._source = open_source(str(root))
        self._change = change

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)

    def images(self) -> Iterator[SourceImage]:
        for number, image in enumerate(self._source.images()):
            yield replace(image, read=self._change(number, image.read))


@pytest.fixture
def every_kind(films: Callable[..., Path], shared_data: Path, tmp_path: Path) -> Path:
    """A list of sources whose images are read in different ways, all in a process that has not opened them."""
    plain = films(normal=6, mass=6, covid=6, opacity=6)  # each film another one
    for name, label in (("packed", "covid"), ("listed", "opacity")):
        shutil.move(plain / label, tmp_path / name / label)
    shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path / "packed")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "pneumoniamnist.npz", train_images=pixels, train_labels=np.arange(12)[:, None] % 2)
    rows = [f"opacity/{path.name},listed" for path in (tmp_path / "listed" / "opacity").iterdir()]
    (tmp_path / "listed" / "manifest.csv").write_text("\n".join(["path,label", *rows]))
    uris = ["phantom://oct?images=60&size=32", tmp_path / "pneumoniamnist.npz", f"dicom:{shared_data / 'dicom'}"]
    uris += [tmp_path / "archive.zip", plain, tmp_path / "listed"]
    listed = "".join(f"  - uri: {uri}\n    modality: cxr\n" for uri in uris)
    (tmp_path / "several.yaml").write_text(f"sources:\n{listed}")
    return tmp_path / "several.yaml"


def test_workers_that_are_killed_cost_nothing_but_time(
    every_kind: Path, tmp_path: Path, ray: EngineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = IngestConfig(source=str(every_kind), min_contrast=0, near_duplicate_similarity=2.0)
    settings = PreprocessConfig(image_size=32)
    key = tmp_path / "key"
    ingest(config, tmp_path / "in-local", patient_key=key)
    local = write_dataset_version(tmp_path / "in-local", tmp_path / "local", settings)
    deaths = [tmp_path / "reader-died", tmp_path / "decoder-died"]

    def die_once(death: Path) -> None:
        if not death.exists():
            death.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def deadly(number: int, read: Read) -> Read:
        return (lambda: die_once(deaths[0]) or read()) if number == 6 else read

    monkeypatch.setattr(ingest_module, "open_source", lambda *_, **__: OtherReads(every_kind, deadly))
    ingest(config, tmp_path / "in-ray", engine=ray, patient_key=key)
    assert everything(tmp_path / "in-ray") == everything(tmp_path / "in-local")

    preprocessed = version._preprocessed

    def preprocessed_or_dead(part: shards.ShardPart, **others: object) -> object:
        if part.start == BATCH:
            die_once(deaths[1])
        return preprocessed(part, **others)

    monkeypatch.setattr(version, "_preprocessed", preprocessed_or_dead)
    made = write_dataset_version(tmp_path / "in-ray", tmp_path / "ray", settings, engine=ray)
    assert made.content_hash == local.content_hash
    assert everything(tmp_path / "ray") == everything(tmp_path / "local")
    assert all(death.exists() for death in deaths)


def test_a_worker_that_lacks_the_source_is_not_taken_for_images_that_cannot_be_read(
    films: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_here(number: int, read: Read) -> Read:
        def elsewhere() -> bytes:
            if threading.current_thread() is not threading.main_thread():
                raise FileNotFoundError(2, "No such file or directory")
            return read()

        return elsewhere

    root = films(normal=4, covid=4)
    monkeypatch.setattr(ingest_module, "open_source", lambda *_, **__: OtherReads(root, only_here))
    with pytest.raises(InputError, match="could not be read where the work was done, but can be read here"):
        ingest(IngestConfig(source=str(root)), tmp_path / "out")
    assert not list(tmp_path.glob(".out*"))
