"""Folds: every image is held out once, no group stands on two sides, and every class is in every part."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from secondread.data.manifest import typed
from secondread.data.versions.folds import deal_folds, divided, fold_splits
from secondread.data.versions.split import check_disjoint
from secondread.errors import InputError

PARTS = ["train", "val", "test"]


def manifest(*, patients: int = 120, largest: int = 4, seed: int = 0) -> pd.DataFrame:
    """Patients of one to `largest` images, a third of them sick; the last tenth is set aside."""
    random = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        label = "sick" if patient % 3 == 0 else "well"
        split = "final_eval" if patient >= 0.9 * patients else ("train", "val", "test")[patient % 3]
        for number in range(random.integers(1, largest + 1)):
            picture = hashlib.sha256(f"{seed} {patient} {number}".encode()).hexdigest()
            known = {"image_id": picture, "pixel_hash": picture, "label": label, "split": split}
            rows.append({**known, "patient_id": str(patient), "group_id": f"pixels-{patient}"})
    return typed(pd.DataFrame(rows))


@pytest.mark.parametrize("group", ["group_id", "patient_id", "image_id"])
def test_each_image_is_held_out_once_and_no_group_is_in_two_parts(group: str) -> None:
    rows = manifest()
    dealt = deal_folds(rows, folds=5, group=group, seed=0)
    pd.testing.assert_series_equal(dealt["image_id"], rows["image_id"])
    held_out: list[str] = []
    for fold in range(1, 6):
        parts = fold_splits(dealt, fold, seed=0)
        check_disjoint(parts)
        column = "image_id" if group == "image_id" else "patient_id"
        sides = parts[parts["split"] != ""].assign(own=rows[column]).groupby("own")["split"].nunique()
        assert (sides == 1).all()
        held_out += parts.loc[parts["split"] == "test", "image_id"].tolist()
        assert sorted(parts["split"].unique()) == ["", "test", "train", "val"]
    used = rows[rows["split"] != "final_eval"]
    assert sorted(held_out) == sorted(used["image_id"])


def test_what_is_set_aside_takes_no_part() -> None:
    rows = manifest()
    dealt = deal_folds(rows, folds=5, group="group_id", seed=0)
    assert (dealt.loc[rows["split"] == "final_eval", "fold"] == 0).all()
    parts = fold_splits(dealt, 1, seed=0)
    assert (parts.loc[rows["split"] == "final_eval", "split"] == "").all()


def test_classes_are_spread_evenly_and_train_has_seven_of_eight_of_the_rest() -> None:
    dealt = deal_folds(manifest(patients=600), folds=5, group="group_id", seed=3)
    counts = pd.crosstab(dealt["label"], dealt["fold"]).drop(columns=0)
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 4  # the largest patient
    parts = fold_splits(dealt, 2, seed=3)
    for label in ("sick", "well"):
        found = parts[parts["label"] == label]["split"].value_counts()
        assert found["train"] / (found["train"] + found["val"]) == pytest.approx(7 / 8, abs=0.01)


def test_the_seed_and_the_images_decide_alone() -> None:
    rows = manifest()
    mixed = rows.sample(frac=1, random_state=1).reset_index(drop=True)

    def by_image(frame: pd.DataFrame, seed: int) -> pd.Series:
        dealt = deal_folds(frame, folds=5, group="group_id", seed=seed)
        return fold_splits(dealt, 1, seed=seed).set_index("image_id")["split"].sort_index()

    pd.testing.assert_series_equal(by_image(rows, 0), by_image(mixed, 0))
    assert (by_image(rows, 0) != by_image(rows, 1)).any()


def test_by_image_patients_are_divided_and_that_is_counted() -> None:
    rows = manifest()
    by_patient = deal_folds(rows, folds=5, group="patient_id", seed=0)
    by_image = deal_folds(rows, folds=5, group="image_id", seed=0)
    assert divided(rows, by_patient) == 0
    used = by_image[by_image["fold"] > 0].assign(patient=rows["patient_id"])
    expected = sum(part["fold"].nunique() > 1 for _, part in used.groupby("patient"))
    assert divided(rows, by_image) == expected > 20
    assert (by_image["patient_id"] == "").all()


def test_two_files_of_one_picture_stay_together_even_by_image() -> None:
    rows = manifest()
    rows.loc[1, "pixel_hash"] = rows.loc[0, "pixel_hash"]
    dealt = deal_folds(rows, folds=5, group="image_id", seed=0)
    assert dealt.loc[0, "fold"] == dealt.loc[1, "fold"]


def test_what_cannot_be_dealt_is_refused_in_one_line() -> None:
    rows = manifest()
    with pytest.raises(InputError, match=r"cannot be dealt by 'site'. Choose one of group_id, patient_id, image_id"):
        deal_folds(rows, folds=5, group="site", seed=0)
    with pytest.raises(InputError, match="no patient of this dataset version is known"):
        deal_folds(rows.assign(patient_id=""), folds=5, group="patient_id", seed=0)
    few = rows[(rows["label"] == "well") | (rows["patient_id"].astype(int) < 9)].reset_index(drop=True)
    with pytest.raises(InputError, match="class 'sick' came to no image in 2 of 5 folds"):
        deal_folds(few, folds=5, group="group_id", seed=0)
