"""Which versions lie at a root, and what can be read of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from secondread.config.environment import Environment
from secondread.dashboard.shelf import Held, Shelf, versions_at
from secondread.data.manifest import MANIFEST_FILE
from secondread.data.store.contents import COMPLETE
from secondread.data.store.open import open_store
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.shards import shard_file
from secondread.errors import IntegrityError


def shelf(root: Path, cache: Path) -> Shelf:
    return versions_at(open_store(str(root), Environment.read({})), cache)


def test_a_folder_of_versions_is_listed_by_their_names(shelf_root: Path, tmp_path: Path) -> None:
    first, retrain = shelf(shelf_root, tmp_path).versions
    assert first.title == f"first ({DatasetVersion.open(shelf_root / 'first').name})"
    assert retrain.parent == first.content_hash
    assert first.near
    assert first.records() == shelf_root / "first"


def test_a_version_may_be_named_itself(shelf_root: Path, tmp_path: Path) -> None:
    (only,) = shelf(shelf_root / "first", tmp_path).versions
    assert only.content_hash == DatasetVersion.open(shelf_root / "first").content_hash


def test_a_published_version_gives_its_records_and_any_bytes_of_its_pixels(
    shelf_root: Path, published_root: Path, tmp_path: Path, held: Callable[..., Held]
) -> None:
    original = DatasetVersion.open(shelf_root / "first")
    found = held(published_root, original.name)
    records = found.records()
    assert (records / MANIFEST_FILE).read_bytes() == (original.root / MANIFEST_FILE).read_bytes()
    assert not list(records.glob("*.npy")), "the pixels stay where they are"
    shard = (original.root / shard_file("train")).read_bytes()
    assert len(shard) > 30_000
    for offset, size in ((0, 128), (9_990, 20), (9_000, 12_000), (len(shard) - 5, 5)):
        assert found.read(shard_file("train"), offset, size) == shard[offset : offset + size]
    with pytest.raises(IntegrityError, match="fewer bytes"):
        found.read(shard_file("train"), len(shard) - 5, 6)


def test_what_is_not_whole_yet_is_not_listed(published_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(published_root, root)
    one, other = sorted(path for path in root.iterdir())
    (one / COMPLETE).unlink()
    assert [version.content_hash for version in shelf(root, tmp_path / "cache").versions] == [other.name]


def test_a_damaged_record_is_a_line_beside_the_versions_that_are_well(shelf_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(shelf_root, root)
    (root / "first" / "dataset.json").write_text('{"content_hash": ')
    (root / "notes").mkdir()
    found = shelf(root, tmp_path / "cache")
    assert [version.title.split()[0] for version in found.versions] == ["retrain"]
    (problem,) = found.problems
    assert "dataset.json is damaged" in problem


def test_a_published_record_that_is_damaged_is_a_line(published_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(published_root, root)
    one = min(root.iterdir())
    (one / COMPLETE).write_text("no JSON")
    found = shelf(root, tmp_path / "cache")
    assert len(found.versions) == 1
    assert COMPLETE in found.problems[0]


def test_a_damaged_object_is_never_taken_for_the_manifest(published_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(published_root, root)
    for path in root.glob(f"*/{MANIFEST_FILE}*"):
        path.write_bytes(b"x" * path.stat().st_size)
    for version in shelf(root, tmp_path / "cache").versions:
        with pytest.raises(IntegrityError, match="damaged"):
            version.records()
    assert not list((tmp_path / "cache").rglob("dataset.json"))


def test_what_is_kept_is_not_kept_when_the_records_change(shelf_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(shelf_root, root)
    before = {version.title: version.key for version in shelf(root, tmp_path / "cache").versions}
    rows = pd.read_parquet(root / "first" / MANIFEST_FILE)
    rows.to_parquet(root / "first" / MANIFEST_FILE)
    after = {version.title: version.key for version in shelf(root, tmp_path / "cache").versions}
    changed = {title for title in before if before[title] != after[title]}
    assert {title.split()[0] for title in changed} == {"first"}


def test_an_empty_root_has_nothing(tmp_path: Path) -> None:
    found = shelf(tmp_path / "nothing", tmp_path / "cache")
    assert (found.versions, found.problems) == ((), ())


def test_the_record_of_a_version_says_what_it_lacks(shelf_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(shelf_root / "first", root / "first")
    document = json.loads((root / "first" / "dataset.json").read_text())
    del document["parent"]
    (root / "first" / "dataset.json").write_text(json.dumps(document))
    assert "not complete ('parent')" in shelf(root, tmp_path / "cache").problems[0]
