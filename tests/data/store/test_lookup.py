"""One dataset version, by whatever it is called."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from secondread.config.environment import Environment
from secondread.data.manifest import write_manifest
from secondread.data.store import contents
from secondread.data.store.lookup import name_parent, name_version, open_version
from secondread.data.store.open import open_store
from secondread.data.store.publish import publish
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import InputError, IntegrityError


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment.read({"SECONDREAD_HOME": str(tmp_path / "home")})


@pytest.fixture
def root(version: DatasetVersion, tmp_path: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where the version is published, its files in several parts."""
    monkeypatch.setattr(contents, "PART_BYTES", 4096)
    publish(version, open_store(str(tmp_path / "kept"), environment))
    return tmp_path / "kept"


def test_a_folder_and_a_published_version_and_the_start_of_its_hash_are_the_same(
    version: DatasetVersion, root: Path, environment: Environment
) -> None:
    whole = f"{root}/{version.content_hash}"
    for uri in (str(version.root), whole, f"file://{whole}", f"{root}/{version.name}"):
        opened = open_version(uri, environment)
        assert opened.content_hash == name_version(uri, environment).content_hash == version.content_hash
        assert np.array_equal(opened.split("train").images, version.split("train").images)
    assert name_version(f"{root}/{version.name}", environment).uri == whole


def test_a_published_version_is_fetched_once(version: DatasetVersion, root: Path, environment: Environment) -> None:
    uri = f"{root}/{version.content_hash}"
    first = open_version(uri, environment)
    assert first.root.is_relative_to(environment.home)
    made = first.root.stat().st_ino
    assert open_version(uri, environment).root.stat().st_ino == made


def test_what_was_fetched_is_not_taken_for_what_another_root_has_under_the_same_name(
    version: DatasetVersion, root: Path, environment: Environment, tmp_path: Path
) -> None:
    assert open_version(f"{root}/{version.content_hash}", environment).manifest["age"].isna().all()
    write_manifest(version.manifest.assign(age=61.0), version.root / "manifest.parquet")
    publish(DatasetVersion.open(version.root), open_store(str(tmp_path / "corrected"), environment))
    opened = open_version(f"{tmp_path}/corrected/{version.content_hash}", environment)
    assert set(opened.manifest["age"]) == {61.0}


def test_what_is_no_version_is_said(root: Path, tmp_path: Path, environment: Environment) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(IntegrityError, match=r"empty is no dataset version: it has no dataset\.json"):
        open_version(str(tmp_path / "empty"), environment)
    with pytest.raises(InputError, match="no version 'ffffffffff' that is whole"):
        open_version(f"{root}/ffffffffff", environment)
    with pytest.raises(InputError, match="'nothing' names no dataset version"):
        open_version("nothing", environment)


def test_a_childs_parent_is_found_where_both_are_published(
    version: DatasetVersion, root: Path, environment: Environment, tmp_path: Path
) -> None:
    shutil.copytree(version.root, tmp_path / "child")
    document = json.loads((tmp_path / "child" / "dataset.json").read_text())
    document |= {"content_hash": "c" * 64, "parent": version.content_hash}
    (tmp_path / "child" / "dataset.json").write_text(json.dumps(document))
    publish(DatasetVersion.open(tmp_path / "child"), open_store(str(root), environment))
    assert name_parent(f"{root}/{'c' * 64}", environment).content_hash == version.content_hash
    with pytest.raises(InputError, match="grew from no other"):
        name_parent(f"{root}/{version.content_hash}", environment)
    with pytest.raises(InputError, match="Name it with --parent"):
        name_parent(str(tmp_path / "child"), environment)
