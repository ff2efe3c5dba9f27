"""Versions to look at: small ones of phantoms, a large one that nobody drew, and the real dashboard over them."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest

from secondread.config.augment import AugmentConfig
from secondread.config.environment import Environment
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.dashboard.shelf import Held, versions_at
from secondread.data.ingest import ingest
from secondread.data.manifest import MANIFEST_FILE, write_manifest
from secondread.data.pixels.preprocess import Preprocessing
from secondread.data.store.open import open_store
from secondread.data.store.publish import publish
from secondread.data.taxonomies import seed_taxonomy
from secondread.data.versions.augment import augment
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
from secondread.data.versions.shards import in_shard_order, shard_file
from secondread.data.versions.split import split_counts
from secondread.data.versions.version import write_dataset_version

IMAGES = 125_100  # the scale that the project states


@pytest.fixture(scope="session")
def shelf_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two versions of the same phantoms: `first`, and `retrain`, which grew from it."""
    folder = tmp_path_factory.mktemp("dashboard")
    source = "phantom://demo?images=360&size=32&classes=cxr-normal,cxr-opacity,oct-dme"
    ingest(IngestConfig(source=source), folder / "ingested", patient_key=folder / "key")
    config = PreprocessConfig(image_size=32, final_eval_min_images=0)
    first = write_dataset_version(folder / "ingested", folder / "versions" / "first", config)
    augment(first, folder / "versions" / "retrain", AugmentConfig(label="cxr-opacity", fraction=1.0))
    return folder / "versions"


@pytest.fixture(scope="session")
def published_root(shelf_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same two, published to a folder, in parts of a few kilobytes as large files are in parts of 16 MiB."""
    root = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("secondread.data.store.contents.PART_BYTES", 10_000)
        for name in ("first", "retrain"):
            publish(DatasetVersion.open(shelf_root / name), open_store(str(root), Environment.read({})))
    return root


@pytest.fixture(scope="session")
def large_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with 125,100 rows. Its pixels are holes in a file: nothing but the manifest has to be read."""
    folder = tmp_path_factory.mktemp("large") / "seeds"
    folder.mkdir()
    rng, size = np.random.default_rng(0), 64
    classes = seed_taxonomy().names
    digests = [hashlib.sha256(number.to_bytes(4)).hexdigest() for number in range(IMAGES)]
    patients = rng.integers(0, IMAGES // 3, IMAGES)
    splits = np.array(["train", "val", "test", "final_eval"])[rng.choice(4, IMAGES // 3, p=[0.6, 0.17, 0.08, 0.15])]
    known = rng.random(IMAGES) < 0.8
    rows = pd.DataFrame(
        {
            "image_id": digests,
            "pixel_hash": digests[::-1],
            "path": [f"images/{digest[:2]}/{digest}.jpg" for digest in digests],
            "label": np.array(classes)[rng.integers(0, len(classes), IMAGES)],
            "patient_id": [f"p{patient:063d}" for patient in patients],
            "group_id": [f"pixels-{patient:032d}" for patient in patients],
            "split": splits[patients],
            "source": np.array(["one", "two", "three"])[rng.integers(0, 3, IMAGES)],
            "sex": np.where(known, np.array(["F", "M"])[patients % 2], ""),
            "age": np.where(known, rng.integers(20, 90, IMAGES), np.nan),
            "width": 512,
            "height": 512,
        }
    )
    rows = in_shard_order(rows)
    write_manifest(rows, folder / MANIFEST_FILE)
    for split, count in rows["split"].value_counts().items():
        with (folder / shard_file(str(split))).open("wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "|u1", "fortran_order": False, "shape": (count, size, size)}
            )
            file.truncate(file.tell() + count * size * size)
    document = {
        "content_hash": "c" * 64,
        "parent": "",
        "synthetic": True,
        "preprocessing": Preprocessing(size).to_dict(),
        "taxonomy": seed_taxonomy().to_dict(),
        "counts": split_counts(rows),
    }
    (folder / DATASET_FILE).write_text(json.dumps(document))
    return folder.parent


@pytest.fixture
def held(tmp_path: Path) -> Callable[..., Held]:
    """The version at a root whose title starts so: `held(root, "first")`."""

    def find(root: Path, start: str) -> Held:
        shelf = versions_at(open_store(str(root), Environment.read({})), tmp_path / "cache")
        (found,) = [version for version in shelf.versions if version.title.startswith(start)]
        return found

    return find


@dataclass(frozen=True)
class Dashboard:
    """A dashboard that runs.

    Attributes:
        url: where.
        pid: of its process.
        log: what it printed.
    """

    url: str
    pid: int
    log: Path


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., object]:
    """Start the real command over a root, and end it: `with dashboard(root) as running`."""

    @contextmanager
    def start(root: Path | str, **variables: str) -> Iterator[Dashboard]:
        folder = tmp_path_factory.mktemp("running")
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        command = [sys.executable, "-m", "secondread", "data", "dashboard", str(root), "--port", str(port)]
        environment = {**os.environ, "SECONDREAD_HOME": str(folder / "home"), "HOME": str(folder), **variables}
        log = folder / "log.txt"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=folder)
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/_stcore/health", process, log)
            yield Dashboard(f"http://127.0.0.1:{port}", process.pid, log)
        finally:
            process.terminate()
            process.wait(timeout=30)

    return start


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urlopen(url, timeout=5) as answer:
                assert answer.status == 200
                return
        except (URLError, ConnectionError, TimeoutError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
