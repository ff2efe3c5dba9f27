"""What is in a set: images by class and by everything else that is known, and what is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:  # what reads a set takes a second to load, and the dashboard needs the bands of ages alone
    from secondread.data.audit.subject import Subject

NOT_KNOWN = "not known"
BY = ("source", "split", "original_split", "sex", "age_band", "view", "body_part", "laterality", "burnt_in_text")
DESCRIPTIVE = ("patient_id", "source", "license", "sex", "age", "view")  # fields whose absence is worth knowing
OF_HEADERS = ("body_part", "laterality")  # likewise, in a set of which some images have them

_BAND_YEARS = 20
_OLDEST_BAND = 80  # years; from here on one band, since few are older
_MOST_VALUES = 30  # of one field; the rest are counted together

Table = dict[str, dict[str, int]]


def age_bands(age: pd.Series) -> pd.Series:
    """Ages as bands of twenty years, such as `20-39`; `not known` where there is none.

    Args:
        age: years.
    """
    low = (age.clip(upper=_OLDEST_BAND) // _BAND_YEARS * _BAND_YEARS).astype(float)
    names = [
        NOT_KNOWN if np.isnan(years) else f"{years:.0f}+" if years >= _OLDEST_BAND else f"{years:.0f}-{years + 19:.0f}"
        for years in low
    ]
    return pd.Series(names, index=age.index, dtype="string")


def count_tables(subject: Subject) -> dict[str, Table]:
    """Images by field, value and class; a field with nothing known of any image is left out."""
    rows = subject.rows.assign(age_band=age_bands(subject.rows["age"]))
    tables = {}
    for field in BY:
        values = rows[field].replace("", NOT_KNOWN)
        if (values != NOT_KNOWN).any():
            tables[field] = _table(values, rows["label"])
    return tables


def _table(values: pd.Series, labels: pd.Series) -> Table:
    common = values.value_counts().index[:_MOST_VALUES]
    shown = values.where(values.isin(common), "other")
    table = pd.crosstab(shown, labels)
    return {str(value): {str(name): int(n) for name, n in row.items() if n} for value, row in table.iterrows()}


def class_counts(subject: Subject) -> dict[str, dict[str, int]]:
    """Images, and groups of what belongs together, by class."""
    by_class = subject.rows.groupby("label", sort=True)
    return {str(name): {"images": len(rows), "groups": int(rows["group_id"].nunique())} for name, rows in by_class}


def missing_fields(subject: Subject) -> dict[str, dict[str, float]]:
    """Share of images, 0 to 1, by field and class, whose field is empty; fields known of all are left out."""
    missing = {}
    with_header = [field for field in OF_HEADERS if (subject.rows[field] != "").any()]
    for field in (*DESCRIPTIVE, *with_header):
        column = subject.rows[field]
        absent = column.isna() if field == "age" else column == ""
        if absent.any():
            by_class = absent.groupby(subject.rows["label"]).mean()
            missing[field] = {"all": float(absent.mean())} | {str(name): float(x) for name, x in by_class.items()}
    return missing
