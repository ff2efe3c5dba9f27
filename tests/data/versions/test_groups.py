"""Groups: what must not be in two splits."""

from hashlib import sha256

import numpy as np
import pandas as pd

from secondread.data.versions.groups import group_ids


def test_patients_who_share_a_picture_are_one_group() -> None:
    rows = pd.DataFrame(
        [("ann", "1"), ("ann", "2"), ("bob", "2"), ("bob", "3"), ("", "3"), ("", "4"), ("cyd", "5"), ("", "4")],
        columns=["patient_id", "pixel_hash"],
    )
    groups = group_ids(rows)
    assert list(groups[:5]) == ["pixels-1"] * 5
    assert list(groups[5:]) == ["pixels-4", "pixels-5", "pixels-4"]


def test_the_order_of_the_rows_does_not_change_a_group() -> None:
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "patient_id": random.choice(["", *map(str, range(300))], 400),
            "pixel_hash": random.integers(600, size=400).astype(str),
        }
    )
    shuffled = rows.sample(frac=1, random_state=1)
    pd.testing.assert_series_equal(group_ids(shuffled).sort_index(), group_ids(rows))


def test_near_duplicates_are_one_group() -> None:
    rows = pd.DataFrame(
        [("ann", "1", "x"), ("", "2", "x"), ("", "3", "y"), ("", "4", "y"), ("", "5", ""), ("", "6", "")],
        columns=["patient_id", "pixel_hash", "cluster_id"],
    )
    assert list(group_ids(rows)) == ["pixels-1"] * 2 + ["pixels-3"] * 2 + ["pixels-5", "pixels-6"]


def test_a_study_keeps_its_films_together_whether_its_patient_is_known_or_not() -> None:
    rows = pd.DataFrame(
        [("", "1", "a"), ("", "1", "b"), ("ann", "2", "c"), ("", "2", "d"), ("", "", "e"), ("", "", "f")],
        columns=["patient_id", "study_id", "pixel_hash"],
    )
    assert list(group_ids(rows)) == [f"pixels-{name}" for name in "aaccef"]


def test_studies_that_are_numbered_within_the_patient_join_nobody() -> None:
    """`1` of ann and `1` of bob are two studies."""
    rows = pd.DataFrame(
        [("ann", "1", "a"), ("ann", "2", "b"), ("bob", "1", "c"), ("bob", "2", "d"), ("", "1", "e")],
        columns=["patient_id", "study_id", "pixel_hash"],
    )
    assert list(group_ids(rows)) == [f"pixels-{name}" for name in "aacce"]


def test_a_cluster_and_a_picture_of_the_same_name_are_not_the_same() -> None:
    rows = pd.DataFrame({"patient_id": "", "pixel_hash": ["1", "2"], "cluster_id": ["2", ""]})
    assert group_ids(rows).nunique() == 2


def test_a_chain_of_a_patient_a_picture_and_a_cluster_is_one_group() -> None:
    rows = pd.DataFrame(
        [("ann", "1", ""), ("bob", "1", ""), ("bob", "2", "x"), ("", "3", "x"), ("cyd", "3", ""), ("dan", "4", "")],
        columns=["patient_id", "pixel_hash", "cluster_id"],
    )
    assert list(group_ids(rows)) == ["pixels-1"] * 5 + ["pixels-4"]


def test_a_group_is_named_by_its_pictures_whatever_its_patients_are_called() -> None:
    random = np.random.default_rng(0)
    patient = random.choice(["", *map(str, range(300))], 400)
    rows = pd.DataFrame({"patient_id": patient, "pixel_hash": random.integers(600, size=400).astype(str)})
    hashed = rows.assign(patient_id=rows["patient_id"].map(lambda name: name and sha256(name.encode()).hexdigest()))
    pd.testing.assert_series_equal(group_ids(hashed), group_ids(rows))
