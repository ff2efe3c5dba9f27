"""A retrain set: groups of a class leave final_eval, and test stays as it is."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.config.augment import AugmentConfig
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.ingest import ingest
from secondread.data.versions.augment import augment
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.diff import diff_versions
from secondread.data.versions.version import content_hash, write_dataset_version
from secondread.errors import InputError

CONFIG = PreprocessConfig(image_size=16, final_eval_min_images=100, final_eval_share=0.3)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory, film: Callable[..., bytes]) -> DatasetVersion:
    """160 films of 80 patients; every fourth patient has films of both classes."""
    root = tmp_path_factory.mktemp("augment")
    films = root / "films"
    films.mkdir()
    lines = ["path,label,patient_id"]
    for number in range(160):
        patient = number // 2
        label = "sick" if patient % 2 or (patient % 4 == 0 and number % 2) else "well"
        (films / f"{number}.png").write_bytes(film(number))
        lines.append(f"{number}.png,{label},{patient}")
    (films / "manifest.csv").write_text("\n".join(lines))
    ingest(IngestConfig(source=str(films), public_ids=True), root / "ingested")
    return write_dataset_version(root / "ingested", root / "dataset", CONFIG)


@pytest.fixture
def child(parent: DatasetVersion, tmp_path: Path) -> DatasetVersion:
    return augment(parent, tmp_path / "child", AugmentConfig(label="sick", fraction=0.5))


def holding(version: DatasetVersion, label: str, split: str) -> set[str]:
    rows = version.manifest
    return set(rows.loc[(rows["split"] == split) & (rows["label"] == label), "group_id"])


def test_test_is_inherited_byte_for_byte(parent: DatasetVersion, child: DatasetVersion) -> None:
    assert (child.root / "images-test.npy").read_bytes() == (parent.root / "images-test.npy").read_bytes()
    pd.testing.assert_frame_equal(child.split("test").rows, parent.split("test").rows)


def test_the_share_of_the_groups_that_hold_the_class_moves_whole(parent: DatasetVersion, child: DatasetVersion) -> None:
    before, after = holding(parent, "sick", "final_eval"), holding(child, "sick", "final_eval")
    assert len(before) - len(after) == round(0.5 * len(before)) > 3
    moved = before - after
    rows = child.manifest[child.manifest["group_id"].isin(moved)]
    assert set(rows["split"]) == {"train", "val"}
    assert rows.groupby("group_id")["split"].nunique().max() == 1
    assert "well" in set(rows["label"])  # the whole patient, with the films of the other class
    changes = {change.kind: change for change in diff_versions(parent, child).changes}
    assert changes["moved"].groups == len(moved)
    assert set(changes["moved"].by_split) == {"final_eval -> train", "final_eval -> val"}
    assert not any(changes[kind].images for kind in ("added", "removed", "relabelled", "regrouped"))


def test_of_the_moved_images_two_in_nine_are_for_val(parent: DatasetVersion, tmp_path: Path) -> None:
    child = augment(parent, tmp_path / "all", AugmentConfig(label="sick", fraction=1.0))
    by_split = next(change for change in diff_versions(parent, child).changes if change.kind == "moved").by_split
    assert by_split["final_eval -> val"] / sum(by_split.values()) == pytest.approx(2 / 9, abs=0.08)
    assert not holding(child, "sick", "final_eval")


def test_every_image_keeps_its_pixels(parent: DatasetVersion, child: DatasetVersion) -> None:
    def pixels(version: DatasetVersion) -> dict[str, bytes]:
        return {
            image_id: image.tobytes()
            for split in version.counts
            for image_id, image in zip(version.split(split).rows["image_id"], version.split(split).images, strict=True)
        }

    assert pixels(child) == pixels(parent)


def test_the_name_is_that_of_the_same_content_made_anew(parent: DatasetVersion, child: DatasetVersion) -> None:
    shards = np.concatenate([child.split(split).images[:, 0] for split in ("train", "val", "test", "final_eval")])
    digests = [sha256(image.tobytes()).hexdigest() for image in shards]
    assert child.content_hash == content_hash(child.manifest, digests, child.taxonomy, child.preprocessing)
    assert child.content_hash != parent.content_hash
    assert child.parent == parent.content_hash
    assert child.split("val").rows["pixel_hash"].is_monotonic_increasing


def test_the_same_seed_moves_the_same_groups(parent: DatasetVersion, child: DatasetVersion, tmp_path: Path) -> None:
    config = AugmentConfig(label="sick", fraction=0.5)
    assert augment(parent, tmp_path / "again", config).content_hash == child.content_hash
    other = augment(parent, tmp_path / "other", AugmentConfig(label="sick", fraction=0.5, seed=1))
    assert other.content_hash != child.content_hash


def test_the_next_version_keeps_what_was_moved(child: DatasetVersion, parent: DatasetVersion, tmp_path: Path) -> None:
    grown = write_dataset_version(parent.root.parent / "ingested", tmp_path / "grown", CONFIG, child)
    assert grown.content_hash == child.content_hash


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--label", "bone"], "label 'bone' is not a class"),
        (["--label", "sick", "--fraction", "0"], "fraction must be in (0, 1], not 0.0"),
        (["--label", "sick", "--fraction", "1.5"], "fraction must be in (0, 1], not 1.5"),
        (["--label", "sick", "--fraction", "nan"], "fraction must be in (0, 1], not nan"),
        (["--label", "sick", "--from", "test"], "only final_eval gives images away"),
    ],
)
def test_bad_input_is_refused(parent: DatasetVersion, tmp_path: Path, arguments: list[str], words: str) -> None:
    command = ["data", "augment", str(parent.root), "--output", str(tmp_path / "child"), *arguments]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, InputError)
    assert words in str(result.exception)
    assert not (tmp_path / "child").exists()


def test_a_version_without_final_eval_is_refused(films: Callable[..., Path], tmp_path: Path) -> None:
    ingest(IngestConfig(source=str(films(normal=9, covid=9))), tmp_path / "ingested")
    version = write_dataset_version(tmp_path / "ingested", tmp_path / "dataset", PreprocessConfig(image_size=32))
    with pytest.raises(InputError, match="has no images in final_eval"):
        augment(version, tmp_path / "child", AugmentConfig(label="covid"))


def test_a_class_that_final_eval_has_none_of_is_refused(parent: DatasetVersion, tmp_path: Path) -> None:
    emptied = augment(parent, tmp_path / "emptied", AugmentConfig(label="sick", fraction=1.0))
    with pytest.raises(InputError, match="has no image of class 'sick'"):
        augment(emptied, tmp_path / "child", AugmentConfig(label="sick"))


def test_the_command_says_what_it_made(parent: DatasetVersion, tmp_path: Path) -> None:
    command = ["data", "augment", str(parent.root), "--from", "final_eval", "--label", "sick"]
    result = CliRunner().invoke(app, [*command, "--output", str(tmp_path / "child"), "--json"])
    document = json.loads(result.stdout)
    assert document["parent"] == parent.content_hash
    assert document["counts"]["test"] == parent.counts["test"]
