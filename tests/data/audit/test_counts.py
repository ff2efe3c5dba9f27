"""Counts: every image once, and what is not known is said to be so."""

import pandas as pd
import pytest

from secondread.data.audit.counts import age_bands, class_counts, count_tables, missing_fields
from secondread.data.audit.subject import Subject
from secondread.data.manifest import typed
from secondread.data.taxonomies import taxonomy_of


@pytest.fixture
def subject() -> Subject:
    rows = typed(
        pd.DataFrame(
            {
                "label": ["a", "a", "a", "b", "b"],
                "sex": ["F", "M", "", "F", "F"],
                "age": [0.5, 39.9, None, 80.0, 101.0],
                "group_id": ["1", "1", "2", "3", "4"],
            }
        )
    )
    return Subject("set", "ingested images", rows, rows[:0], {}, taxonomy_of(["a", "b"], modality="cxr"), False, len)


def test_every_image_is_counted_once_in_each_table(subject: Subject) -> None:
    tables = count_tables(subject)
    assert tables["sex"] == {"F": {"a": 1, "b": 2}, "M": {"a": 1}, "not known": {"a": 1}}
    assert tables["age_band"] == {"0-19": {"a": 1}, "20-39": {"a": 1}, "80+": {"b": 2}, "not known": {"a": 1}}


def test_a_field_of_which_nothing_is_known_has_no_table(subject: Subject) -> None:
    assert set(count_tables(subject)) == {"sex", "age_band"}


def test_classes_have_images_and_groups(subject: Subject) -> None:
    assert class_counts(subject) == {"a": {"images": 3, "groups": 2}, "b": {"images": 2, "groups": 2}}


def test_missing_is_a_share_of_each_class(subject: Subject) -> None:
    missing = missing_fields(subject)
    assert missing["sex"] == {"all": 0.2, "a": pytest.approx(1 / 3), "b": 0}
    assert missing["view"] == {"all": 1, "a": 1, "b": 1}


def test_bands_begin_at_multiples_of_twenty() -> None:
    ages = pd.Series([0, 19.99, 20, 79, 80, 120, float("nan")])
    assert list(age_bands(ages)) == ["0-19", "0-19", "20-39", "60-79", "80+", "80+", "not known"]
