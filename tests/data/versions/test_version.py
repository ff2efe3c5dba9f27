"""A dataset version: named by its content, whole, and checked when it is read."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.ingest import ingest
from secondread.data.pixels.preprocess import Preprocessing, preprocess
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import content_hash, write_dataset_version
from secondread.errors import InputError, IntegrityError


@pytest.fixture
def ingested(films: Callable[..., Path], tmp_path: Path) -> Path:
    ingest(IngestConfig(source=str(films(cxr_normal=20, cxr_covid=20))), tmp_path / "ingested")
    return tmp_path / "ingested"


def test_pixels_labels_and_rows_belong_together(ingested: Path, tmp_path: Path) -> None:
    version = write_dataset_version(ingested, tmp_path / "dataset", PreprocessConfig(image_size=32))
    for split in ("train", "val", "test"):
        data = version.split(split)
        for image, label, row in zip(data.images, data.labels, data.rows.itertuples(), strict=True):
            expected = preprocess((ingested / row.path).read_bytes(), Preprocessing(size=32))
            np.testing.assert_array_equal(image[0], expected)
            assert version.taxonomy.names[label] == row.label


def test_options_are_stored_and_are_in_every_pixel_and_in_the_name(ingested: Path, tmp_path: Path) -> None:
    config = PreprocessConfig(image_size=32, contrast="clahe", trim_borders=True)
    version = write_dataset_version(ingested, tmp_path / "dataset", config)
    spec = Preprocessing(size=32, contrast="clahe", trim_borders=True)
    assert DatasetVersion.open(version.root).preprocessing == spec
    data = version.split("train")
    for image, row in zip(data.images, data.rows.itertuples(), strict=True):
        np.testing.assert_array_equal(image[0], preprocess((ingested / row.path).read_bytes(), spec))
    plain = write_dataset_version(ingested, tmp_path / "plain", PreprocessConfig(image_size=32))
    assert plain.content_hash != version.content_hash
    with pytest.raises(
        InputError, match=r"has images of 32 px \(.*\), not 32 px \(.*, contrast clahe, borders trimmed\)"
    ):
        write_dataset_version(ingested, tmp_path / "child", config, plain)


def test_pixels_are_memory_mapped(ingested: Path, tmp_path: Path) -> None:
    images = (
        write_dataset_version(ingested, tmp_path / "dataset", PreprocessConfig(image_size=32)).split("train").images
    )
    assert isinstance(images, np.memmap)
    assert images.dtype == np.uint8
    assert images.shape[1:] == (1, 32, 32)


def test_the_name_is_the_content(films: Callable[..., Path], film: Callable[[int], bytes], tmp_path: Path) -> None:
    def name(root: Path, number: int, **settings: int) -> str:
        ingest(IngestConfig(source=str(root)), tmp_path / f"ingested{number}")
        config = PreprocessConfig(image_size=32, **settings)
        return write_dataset_version(tmp_path / f"ingested{number}", tmp_path / f"dataset{number}", config).content_hash

    one, same = films("one", normal=20, covid=20), films("two", normal=20, covid=20)
    assert name(one, 1) == name(same, 2)
    assert name(one, 3, split_seed=1) != name(one, 1)
    (same / "normal" / "000.png").write_bytes(film(4711))
    assert name(same, 4) != name(one, 1)


@pytest.fixture
def hospital(film: Callable[[int], bytes], tmp_path: Path) -> Path:
    """90 films of 30 patients, whose ids must not leave it."""
    root = tmp_path / "hospital"
    root.mkdir()
    lines = ["path,label,patient_id"]
    for number in range(90):
        (root / f"{number}.png").write_bytes(film(number))
        lines.append(f"{number}.png,{'sick' if number % 3 else 'well'},MRN-{number // 3}")
    (root / "manifest.csv").write_text("\n".join(lines))
    return root


def test_two_installations_make_the_same_version_of_the_same_films(hospital: Path, tmp_path: Path) -> None:
    """Each has a secret key of its own, and so other patient ids."""
    versions = []
    for key in ("one", "two"):
        ingest(IngestConfig(source=str(hospital)), tmp_path / f"ingested-{key}", patient_key=tmp_path / key)
        config = PreprocessConfig(image_size=32)
        versions.append(write_dataset_version(tmp_path / f"ingested-{key}", tmp_path / f"dataset-{key}", config))
    one, two = (version.manifest.set_index("image_id") for version in versions)
    assert not set(one["patient_id"]) & set(two["patient_id"])
    pd.testing.assert_frame_equal(one[["split", "group_id"]], two[["split", "group_id"]])
    assert versions[0].content_hash == versions[1].content_hash
    assert versions[0].patient_key != versions[1].patient_key


def test_the_order_of_the_films_does_not_change_the_version(hospital: Path, tmp_path: Path) -> None:
    def name(number: int) -> str:
        ingest(IngestConfig(source=str(hospital)), tmp_path / f"ingested{number}", patient_key=tmp_path / "key")
        config = PreprocessConfig(image_size=32)
        return write_dataset_version(tmp_path / f"ingested{number}", tmp_path / f"dataset{number}", config).content_hash

    before = name(1)
    head, *lines = (hospital / "manifest.csv").read_text().splitlines()
    (hospital / "manifest.csv").write_text("\n".join([head, *reversed(lines)]))
    assert name(2) == before


def test_who_is_grouped_with_whom_is_in_the_name(ingested: Path, tmp_path: Path) -> None:
    version = write_dataset_version(ingested, tmp_path / "dataset", PreprocessConfig(image_size=32))
    rows = version.manifest
    train = rows["split"] == "train"
    joined = rows.assign(group_id=rows["group_id"].where(~train, rows.loc[train, "group_id"].min()))
    digests = [""] * len(rows)
    one, other = (content_hash(frame, digests, version.taxonomy, version.preprocessing) for frame in (rows, joined))
    assert one != other


def test_the_image_size_does_not_change_the_split(ingested: Path, tmp_path: Path) -> None:
    def splits(size: int) -> pd.Series:
        version = write_dataset_version(ingested, tmp_path / str(size), PreprocessConfig(image_size=size))
        return version.manifest.set_index("image_id")["split"].sort_index()

    pd.testing.assert_series_equal(splits(32), splits(48))


def test_one_class_is_refused(films: Callable[..., Path], tmp_path: Path) -> None:
    ingest(IngestConfig(source=str(films(normal=20))), tmp_path / "ingested")
    with pytest.raises(InputError, match="single class 'normal'"):
        write_dataset_version(tmp_path / "ingested", tmp_path / "dataset", PreprocessConfig(image_size=32))
    assert not (tmp_path / "dataset").exists()


def test_an_image_that_changed_since_ingest_is_found(ingested: Path, tmp_path: Path) -> None:
    path = next((ingested / "images").rglob("*.png"))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(IntegrityError, match="has changed since it was ingested"):
        write_dataset_version(ingested, tmp_path / "dataset", PreprocessConfig(image_size=32))


def test_a_leak_is_found_when_the_version_is_read(ingested: Path, tmp_path: Path) -> None:
    from secondread.data.manifest import write_manifest

    version = write_dataset_version(ingested, tmp_path / "dataset", PreprocessConfig(image_size=32))
    rows = version.manifest.assign(group_id="patient-1")
    write_manifest(rows, tmp_path / "dataset" / "manifest.parquet")
    with pytest.raises(IntegrityError, match="in two splits"):
        DatasetVersion.open(tmp_path / "dataset")


def test_shards_of_another_version_are_found(ingested: Path, tmp_path: Path) -> None:
    version = write_dataset_version(ingested, tmp_path / "dataset", PreprocessConfig(image_size=32))
    np.save(tmp_path / "dataset" / "images-val.npy", np.zeros((3, 32, 32), np.uint8))
    with pytest.raises(IntegrityError, match=r"images-val\.npy holds uint8 \(3, 32, 32\)"):
        version.split("val")


def test_a_shard_that_was_cut_off_is_found(ingested: Path, tmp_path: Path) -> None:
    version = write_dataset_version(ingested, tmp_path / "dataset", PreprocessConfig(image_size=32))
    shard = tmp_path / "dataset" / "images-val.npy"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=r"images-val\.npy is damaged"):
        version.split("val")


@pytest.mark.parametrize(("damage", "words"), [("remove", "no dataset version"), ("empty", "not complete")])
def test_what_is_no_dataset_version_is_refused(ingested: Path, tmp_path: Path, damage: str, words: str) -> None:
    write_dataset_version(ingested, tmp_path / "dataset", PreprocessConfig(image_size=32))
    document = tmp_path / "dataset" / "dataset.json"
    document.unlink() if damage == "remove" else document.write_text(json.dumps({}))
    with pytest.raises(IntegrityError, match=words):
        DatasetVersion.open(tmp_path / "dataset")
