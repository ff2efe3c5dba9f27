"""The split: by group, near 7:2:1 in every class, the same for the same rows and seed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.ingest import ingest
from secondread.data.versions.split import assign_splits, check_disjoint
from secondread.data.versions.version import write_dataset_version
from secondread.errors import InputError, IntegrityError


def patients(count: int, *, images: int = 3, classes: int = 3, seed: int = 0) -> pd.DataFrame:
    """Rows of patients with some images each, in a mixed order."""
    random = np.random.default_rng(seed)
    rows = [
        {"group_id": f"patient-{patient}", "label": f"class-{patient % classes}"}
        for patient in range(count)
        for _ in range(1 + random.integers(images))
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=seed, ignore_index=True)


def shares(rows: pd.DataFrame, splits: pd.Series) -> pd.DataFrame:
    return pd.crosstab(rows["label"], splits, normalize="index")


def test_no_group_is_in_two_splits() -> None:
    rows = patients(300)
    rows["split"] = assign_splits(rows, PreprocessConfig())
    assert rows.groupby("group_id")["split"].nunique().max() == 1


def test_every_class_comes_close_to_7_2_1() -> None:
    rows = patients(300)
    table = shares(rows, assign_splits(rows, PreprocessConfig()))
    for split, share in {"train": 0.7, "val": 0.2, "test": 0.1}.items():
        assert (table[split] - share).abs().max() < 0.03


def test_final_eval_is_set_aside_first_when_there_are_enough_images() -> None:
    rows = patients(1200)
    assert len(rows) > 2000
    table = shares(rows, assign_splits(rows, PreprocessConfig()))
    assert (table["final_eval"] - 0.15).abs().max() < 0.02
    assert (table["train"] / (1 - table["final_eval"]) - 0.7).abs().max() < 0.03


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = patients(120)
    splits = assign_splits(rows, PreprocessConfig())
    turned = rows.iloc[::-1].reset_index(drop=True)
    again = assign_splits(turned, PreprocessConfig())
    assert list(again.iloc[::-1]) == list(splits)


def test_another_seed_gives_another_split() -> None:
    rows = patients(120)
    one, two = (assign_splits(rows, PreprocessConfig(split_seed=seed)) for seed in (0, 1))
    assert (one != two).mean() > 0.2


def test_a_patient_with_images_of_two_classes_stays_together() -> None:
    rows = pd.concat([patients(60), pd.DataFrame({"group_id": ["patient-0"] * 2, "label": ["class-1", "class-2"]})])
    rows = rows.reset_index(drop=True)
    splits = assign_splits(rows, PreprocessConfig())
    assert splits[rows["group_id"] == "patient-0"].nunique() == 1


def test_a_class_of_three_patients_is_in_train_val_and_test() -> None:
    rows = pd.concat([patients(90), pd.DataFrame({"group_id": list("abc"), "label": "rare"})], ignore_index=True)
    splits = assign_splits(rows, PreprocessConfig())
    assert set(splits[rows["label"] == "rare"]) == {"train", "val", "test"}


def test_a_class_that_is_too_small_is_named() -> None:
    rows = pd.concat([patients(90), pd.DataFrame({"group_id": list("ab"), "label": "rare"})], ignore_index=True)
    with pytest.raises(InputError, match=r"class 'rare' has 2 patient.*at least 3"):
        assign_splits(rows, PreprocessConfig())


def test_a_class_whose_patients_all_have_a_rarer_one_too_is_split_like_any_other() -> None:
    rows = pd.DataFrame(
        [{"group_id": f"patient-{patient}", "label": label} for patient in range(50) for label in ("a", "a", "b")]
    )
    table = shares(rows, assign_splits(rows, PreprocessConfig()))
    for split, share in {"train": 0.7, "val": 0.2, "test": 0.1}.items():
        assert (table[split] - share).abs().max() < 0.03


@pytest.mark.parametrize("seed", range(20))
def test_one_patient_with_most_of_a_class_is_in_train(seed: int) -> None:
    """With 60 of 80 images in val or test there would be next to nothing to learn from."""
    sizes = {"big": 60} | {f"small-{number}": 1 for number in range(20)}
    rows = pd.DataFrame([{"group_id": name, "label": "b"} for name, size in sizes.items() for _ in range(size)])
    rows = pd.concat([patients(90), rows], ignore_index=True)
    splits = assign_splits(rows, PreprocessConfig(split_seed=seed))
    counts = splits[rows["label"] == "b"].value_counts()
    assert splits[rows["group_id"] == "big"].iloc[0] == "train"
    assert counts["val"] >= 10
    assert counts["test"] >= 5


def test_a_class_that_comes_to_nothing_in_a_split_is_named() -> None:
    """Three patients of class a also have the rarer b, and are dealt out among its forty."""
    common = [{"group_id": f"patient-{number}", "label": "b"} for number in range(40)]
    both = [{"group_id": f"patient-{number}", "label": "a"} for number in range(3) for _ in range(50)]
    rows = pd.DataFrame(common + both)
    with pytest.raises(InputError, match=r"class 'a' came to no image in .*Add patients, or choose another split_seed"):
        for seed in range(5):
            assign_splits(rows, PreprocessConfig(split_seed=seed))


@pytest.mark.parametrize(
    ("groups", "pictures", "words"),
    [(["a", "a", "b"], ["1", "2", "3"], r"1 group\(s\)"), (["a", "b", "c"], ["1", "1", "3"], r"1 picture\(s\)")],
)
def test_a_leaking_group_is_refused(groups: list[str], pictures: list[str], words: str) -> None:
    rows = pd.DataFrame({"group_id": groups, "pixel_hash": pictures, "split": ["train", "test", "train"]})
    with pytest.raises(IntegrityError, match=f"{words} are in two splits"):
        check_disjoint(rows)


@pytest.mark.parametrize(("column", "words"), [("patient_id", "1 patient"), ("cluster_id", "1 cluster")])
def test_a_leak_is_refused_although_the_groups_know_nothing_of_it(column: str, words: str) -> None:
    rows = pd.DataFrame({"group_id": ["a", "b", "c"], "pixel_hash": ["1", "2", "3"], "split": ["train", "test", "val"]})
    check_disjoint(rows.assign(patient_id="", cluster_id=""))
    with pytest.raises(IntegrityError, match=words):
        check_disjoint(rows.assign(**{column: ["x", "x", ""]}))


@pytest.mark.parametrize("name", ["nih-covid-3", "radiography-4"])
def test_patients_of_real_sets_stay_in_one_split(shared_data: Path, tmp_path: Path, name: str) -> None:
    """It would fail if the split went by image: that is checked too, on the set whose patients are known."""
    ingest(IngestConfig(source=str(shared_data / name), public_ids=True), tmp_path / "images")
    version = write_dataset_version(tmp_path / "images", tmp_path / "dataset", PreprocessConfig(image_size=32))
    known = version.manifest[version.manifest["patient_id"] != ""]
    assert known.groupby("patient_id").size().max() > 1
    assert known.groupby("patient_id")["split"].nunique().max() == 1
    by_image = version.manifest.assign(group_id=version.manifest["image_id"])
    by_image["split"] = assign_splits(by_image, PreprocessConfig())
    with pytest.raises(IntegrityError):
        check_disjoint(by_image.assign(group_id=version.manifest["group_id"]))


def test_final_eval_of_a_small_set_is_empty(films: Callable[..., Path], tmp_path: Path) -> None:
    ingest(IngestConfig(source=str(films(normal=20, covid=20))), tmp_path / "images")
    version = write_dataset_version(tmp_path / "images", tmp_path / "dataset", PreprocessConfig(image_size=32))
    assert set(version.counts) == {"train", "val", "test"}
