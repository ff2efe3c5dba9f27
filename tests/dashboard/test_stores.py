"""Versions in a real Swift, through its own API and through S3's: what is shown is what was published."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from secondread.dashboard.images import read_images
from secondread.dashboard.pictures import draw, read_pictures
from secondread.dashboard.serve import SCRIPT
from secondread.dashboard.shelf import versions_at
from secondread.data.store.open import open_store
from secondread.data.store.publish import publish
from secondread.data.store.store import Store
from secondread.data.versions.dataset import DatasetVersion


class Counts:
    """A store that writes down what is read of it."""

    def __init__(self, store: Store) -> None:
        self._store, self.uri, self.bytes = store, store.uri, 0

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    def read(self, key: str) -> bytes | None:
        data = self._store.read(key)
        self.bytes += len(data or b"")
        return data

    def read_range(self, key: str, offset: int, size: int) -> bytes | None:
        data = self._store.read_range(key, offset, size)
        self.bytes += len(data or b"")
        return data


def test_a_version_in_a_store_is_shown_without_reading_all_of_it(
    swift, store_root: str, shelf_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = DatasetVersion.open(shelf_root / "first")
    done = publish(version, open_store(store_root, swift.environment()))
    store = Counts(open_store(store_root, swift.environment()))
    (held,) = versions_at(store, tmp_path / "cache").versions
    assert not held.near
    images = read_images(held)
    positions = draw(images, label="oct-dme", split="", count=6, seed=0)
    everything = np.concatenate([version.split(name).images[:, 0] for name in images.splits])
    for picture, position in zip(read_pictures(held, images, positions), positions, strict=True):
        np.testing.assert_array_equal(picture, everything[position])
    records = sum(path.stat().st_size for path in version.root.iterdir() if path.suffix != ".npy")
    assert store.bytes < records + 20_000 < done.size / 2
    before = store.bytes
    assert versions_at(store, tmp_path / "cache").versions[0].records() == held.records()
    assert store.bytes - before < 5_000, "only the list of its objects is read again"
    for name, value in swift.variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), store_root])
    page = AppTest.from_file(str(SCRIPT), default_timeout=60).run()
    assert not page.exception
    assert not page.error
    assert page.metric[0].value == f"{len(version.manifest):,}"
