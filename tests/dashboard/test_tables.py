"""The numbers that pages show, against the manifest itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from secondread.dashboard.images import Images, read_images
from secondread.dashboard.shelf import Held
from secondread.dashboard.tables import MISSING, groups_by_class, images_by, images_by_class, missing_shares
from secondread.data.manifest import MANIFEST_FILE, read_manifest
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import IntegrityError


@pytest.fixture
def images(shelf_root: Path, held: Callable[..., Held]) -> Images:
    return read_images(held(shelf_root, "first"))


@pytest.fixture
def manifest(shelf_root: Path) -> pd.DataFrame:
    return read_manifest(shelf_root / "first" / MANIFEST_FILE)


def test_the_counts_are_those_of_the_manifest(images: Images, manifest: pd.DataFrame, shelf_root: Path) -> None:
    counts = images_by_class(images)
    assert list(counts.columns) == ["train", "val", "test", "final_eval", "all"]
    assert list(counts.index) == [*DatasetVersion.open(shelf_root / "first").taxonomy.names, "all"]
    for label in manifest["label"].unique():
        of_class = manifest[manifest["label"] == label]
        assert counts.loc[label, "all"] == len(of_class)
        for split in ("train", "val", "test", "final_eval"):
            assert counts.loc[label, split] == (of_class["split"] == split).sum()
    assert counts.loc["all", "all"] == len(manifest)
    assert groups_by_class(images)["all"] == manifest["group_id"].nunique()
    assert groups_by_class(images)["oct-dme"] == manifest[manifest["label"] == "oct-dme"]["group_id"].nunique()


def test_images_are_counted_by_what_else_is_known(images: Images, manifest: pd.DataFrame) -> None:
    by_sex = images_by(images, "sex")
    assert by_sex["all"].to_dict() == manifest["sex"].value_counts().to_dict()
    by_age = images_by(images, "age")
    assert by_age.loc["20-39", "all"] == manifest["age"].between(20, 39.9).sum()
    assert by_age["all"].sum() == len(manifest)
    assert images_by(images, "original_split").empty, "nothing is known of it"


def test_a_share_is_missing_where_the_manifest_is_empty(tmp_path: Path, shelf_root: Path, held) -> None:
    shutil.copytree(shelf_root / "first", tmp_path / "root" / "first")
    path = tmp_path / "root" / "first" / MANIFEST_FILE
    rows = read_manifest(path)
    normal = rows["label"] == "cxr-normal"
    rows.loc[normal, "sex"] = ""
    rows.loc[normal, "patient_id"] = ""
    rows.loc[rows.index[:10], "age"] = float("nan")
    rows.loc[rows.index[:20], "source"] = "elsewhere"
    rows.to_parquet(path)
    shares = missing_shares(read_images(held(tmp_path / "root", "first")), "label")
    assert list(shares.columns) == [title for title in MISSING.values() if title not in ("body part", "side")]
    assert shares.loc["cxr-normal", "sex"] == shares.loc["cxr-normal", "patient"] == 1
    assert shares.loc["oct-dme", "sex"] == 0
    assert shares.loc["all", "sex"] == pytest.approx(normal.mean())
    assert shares.loc["all", "age"] == pytest.approx(10 / len(rows))
    by_source = missing_shares(read_images(held(tmp_path / "root", "first")), "source")
    assert by_source.loc["elsewhere", "age"] == pytest.approx(0.5)
    assert by_source.loc["phantom", "age"] == 0


def test_the_table_holds_nobodys_id(images: Images, manifest: pd.DataFrame) -> None:
    names = ("patient_id", "study_id", "image_id", "group_id", "pixel_hash")
    ids = {value for name in names for value in manifest[name]}
    held = {str(value) for name in images.table for value in images.table[name].unique()}
    assert not ids & held


def test_a_manifest_of_other_images_is_damage(tmp_path: Path, shelf_root: Path, held: Callable[..., Held]) -> None:
    shutil.copytree(shelf_root, tmp_path / "root")
    root = tmp_path / "root"
    read_manifest(root / "first" / MANIFEST_FILE).iloc[:-1].to_parquet(root / "first" / MANIFEST_FILE)
    with pytest.raises(IntegrityError, match="other images than its"):
        read_images(held(root, "first"))
    (root / "retrain" / MANIFEST_FILE).write_bytes(b"PAR1 no more")
    with pytest.raises(IntegrityError, match="is damaged"):
        read_images(held(root, "retrain"))


def test_a_manifest_without_a_column_says_which(tmp_path: Path, shelf_root: Path, held: Callable[..., Held]) -> None:
    shutil.copytree(shelf_root / "first", tmp_path / "root" / "first")
    path = tmp_path / "root" / "first" / MANIFEST_FILE
    pd.read_parquet(path).drop(columns=["view", "site"]).to_parquet(path)
    with pytest.raises(IntegrityError, match="lacks the columns site, view"):
        read_images(held(tmp_path / "root", "first"))


def test_what_headers_say_is_shown_where_some_images_have_it(tmp_path: Path, shelf_root: Path, held) -> None:
    shutil.copytree(shelf_root / "first", tmp_path / "root" / "first")
    path = tmp_path / "root" / "first" / MANIFEST_FILE
    rows = read_manifest(path)
    rows.loc[rows.index[:90], "body_part"] = "CHEST"
    rows.loc[rows.index[:30], "laterality"] = "L"
    rows.loc[rows.index[:5], "burnt_in_text"] = "seen"
    rows.to_parquet(path)
    images = read_images(held(tmp_path / "root", "first"))
    assert images_by(images, "body_part")["all"].to_dict() == {"not known": len(rows) - 90, "CHEST": 90}
    assert images_by(images, "laterality").loc["L", "all"] == 30
    assert images_by(images, "burnt_in_text").loc["seen", "all"] == 5
    shares = missing_shares(images, "label").loc["all"]
    assert shares["body part"] == pytest.approx(1 - 90 / len(rows))
    assert shares["side"] == pytest.approx(1 - 30 / len(rows))


def test_a_manifest_of_an_earlier_version_says_nothing_of_headers(
    tmp_path: Path, shelf_root: Path, held: Callable[..., Held]
) -> None:
    shutil.copytree(shelf_root / "first", tmp_path / "root" / "first")
    path = tmp_path / "root" / "first" / MANIFEST_FILE
    rows = pd.read_parquet(path)
    rows.drop(columns=["body_part", "laterality", "burnt_in_text"]).to_parquet(path)
    images = read_images(held(tmp_path / "root", "first"))
    assert images_by(images, "body_part").empty
    assert images_by(images, "burnt_in_text").empty
    assert images_by(images, "sex")["all"].sum() == len(rows)


def test_a_hundred_thousand_images_are_counted_too(large_root: Path, held: Callable[..., Held]) -> None:
    images = read_images(held(large_root, "seeds"))
    assert images_by_class(images).loc["all", "all"] == 125_100
    assert images.table.memory_usage(deep=True).sum() < 20e6, "bytes; eight versions fit beside everything else"
