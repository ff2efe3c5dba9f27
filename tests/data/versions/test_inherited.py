"""A child whose test split is not its parent's, in whatever way, is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.ingest import ingest
from secondread.data.manifest import MANIFEST_FILE, write_manifest
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
from secondread.data.versions.inherited import check_inherited_test
from secondread.data.versions.version import write_dataset_version
from secondread.errors import InputError


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory, film: Callable[..., bytes]) -> DatasetVersion:
    """Sixty films of thirty patients."""
    root = tmp_path_factory.mktemp("inherited")
    films = root / "films"
    films.mkdir()
    lines = ["path,label,patient_id"]
    for number in range(60):
        (films / f"{number}.png").write_bytes(film(number))
        lines.append(f"{number}.png,{'sick' if number // 2 % 2 else 'well'},{number // 2}")
    (films / "manifest.csv").write_text("\n".join(lines))
    ingest(IngestConfig(source=str(films), public_ids=True), root / "ingested")
    return write_dataset_version(root / "ingested", root / "dataset", PreprocessConfig(image_size=16))


@pytest.fixture
def child(version: DatasetVersion, tmp_path: Path) -> Path:
    """Another version with the same images, as far as its name says."""
    folder = tmp_path / "child"
    shutil.copytree(version.root, folder)
    change(folder, content_hash="c" * 64)
    return folder


def change(folder: Path, **fields: object) -> None:
    document = json.loads((folder / DATASET_FILE).read_text())
    (folder / DATASET_FILE).write_text(json.dumps(document | fields))


def rewrite(folder: Path, rows: pd.DataFrame) -> None:
    write_manifest(rows, folder / MANIFEST_FILE)


def refusal(folder: Path, parent: DatasetVersion) -> str:
    with pytest.raises(InputError) as refused:
        check_inherited_test(DatasetVersion.open(folder), parent)
    return str(refused.value)


def test_an_untouched_test_split_is_accepted_in_any_order(version: DatasetVersion, child: Path) -> None:
    check_inherited_test(DatasetVersion.open(child), version)
    rows, images = version.manifest, np.load(child / "images-test.npy")
    here = np.flatnonzero(rows["split"] == "test")
    order = np.arange(len(rows))
    order[here] = here[::-1]
    rewrite(child, rows.iloc[order].reset_index(drop=True))
    np.save(child / "images-test.npy", images[::-1])
    check_inherited_test(DatasetVersion.open(child), version)


def test_one_changed_pixel_is_seen(version: DatasetVersion, child: Path) -> None:
    images = np.load(child / "images-test.npy")
    images[-1, 3, 3] ^= 1
    np.save(child / "images-test.npy", images)
    assert "pixels differ" in refusal(child, version)


@pytest.mark.parametrize("column", ["label", "group_id", "image_id"])
def test_one_changed_record_is_seen(version: DatasetVersion, child: Path, column: str) -> None:
    rows = version.manifest.copy()
    row = rows.index[rows["split"] == "test"][0]
    names = version.taxonomy.names
    other = {"label": next(name for name in names if name != rows.loc[row, "label"])}.get(column, "f" * 64)
    rows.loc[row, column] = other
    rewrite(child, rows)
    assert f"have another {column}" in refusal(child, version)


def test_an_image_more_is_seen(version: DatasetVersion, child: Path) -> None:
    rows, images = version.manifest, np.load(child / "images-test.npy")
    extra = rows[rows["split"] == "test"].head(1).assign(image_id="e" * 64, group_id="new")
    rewrite(child, pd.concat([rows, extra], ignore_index=True))
    np.save(child / "images-test.npy", np.concatenate([images, images[:1]]))
    assert f"{len(images)} images became {len(images) + 1}" in refusal(child, version)


def test_the_same_version_twice_is_no_child(version: DatasetVersion) -> None:
    assert "is named as child and as parent" in refusal(version.root, version)


def test_another_preprocessing_is_another_task(version: DatasetVersion, child: Path) -> None:
    document = json.loads((child / DATASET_FILE).read_text())
    change(child, preprocessing={**document["preprocessing"], "trim_borders": True})
    assert "another preprocessing" in refusal(child, version)
