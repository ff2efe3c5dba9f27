"""What the pages say in numbers: images by split and class, and what is not known of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from secondread.dashboard.images import Images
from secondread.data.audit.counts import NOT_KNOWN, OF_HEADERS, age_bands

ALL = "all"

# Column of the table -> what people call it. Only what a training set had better know.
MISSING = {
    "has_patient_id": "patient",
    "has_study_id": "study",
    "age": "age",
    "sex": "sex",
    "view": "view",
    "source": "source",
    "site": "site",
    "license": "licence",
    "has_acquired_at": "date",
    "original_split": "published split",
    "body_part": "body part",
    "laterality": "side",
}
MOST_ROWS = 30  # of a table by source; the rest are one row
OTHER = "other"


def images_by_class(images: Images) -> pd.DataFrame:
    """Images by class (rows, in the taxonomy's order, then `all`) and split (columns, then `all`)."""
    table = images.table
    counts = pd.crosstab(table["label"].astype(str), table["split"].astype(str))
    counts = counts.reindex(index=list(images.taxonomy.names), columns=images.splits, fill_value=0)
    counts[ALL] = counts.sum(axis=1)
    counts.loc[ALL] = counts.sum(axis=0)
    return counts.astype(np.int64).rename_axis(index="class", columns=None)


def groups_by_class(images: Images) -> pd.Series:
    """Groups of what belongs together (a patient's images, near duplicates) by class, then `all`."""
    groups = images.table.groupby(images.table["label"].astype(str))["group"].nunique()
    groups = groups.reindex(list(images.taxonomy.names), fill_value=0)
    groups[ALL] = images.table["group"].nunique()
    return groups.astype(np.int64)


def images_by(images: Images, column: str) -> pd.DataFrame:
    """Images by one column's values (rows) and split (columns, then `all`); empty where it is never known.

    Ages are in bands, the youngest first; else the most frequent value is first.
    """
    values = age_bands(images.table[column]) if column == "age" else images.table[column].astype(str)
    values = values.replace("", NOT_KNOWN)
    if (values == NOT_KNOWN).all():
        return pd.DataFrame()
    counts = pd.crosstab(_few(values), images.table["split"].astype(str))
    counts = counts.reindex(columns=images.splits, fill_value=0)
    counts[ALL] = counts.sum(axis=1)
    ordered = counts if column == "age" else counts.sort_values(ALL, ascending=False, kind="stable")
    return ordered.rename_axis(index=column, columns=None)


def missing_shares(images: Images, by: str) -> pd.DataFrame:
    """Share of images, 0 to 1, that lack a field.

    Args:
        images: of a version.
        by: `label` or `source`.
    Returns:
        A row for each class or source, then `all`; a column for each of `MISSING`, under the name people call it. What
        only headers of DICOM say is left out where no image has it.
    """
    table = images.table
    unasked = [name for name in OF_HEADERS if (table[name] == "").all()]
    asked = {name: title for name, title in MISSING.items() if name not in unasked}
    absent = pd.DataFrame({title: is_missing(table, name) for name, title in asked.items()})
    names = list(images.taxonomy.names) if by == "label" else None
    keys = table[by].astype(str)
    shares = absent.groupby(keys if names else _few(keys.replace("", NOT_KNOWN))).mean()
    shares = shares.reindex(names).dropna(how="all") if names else shares
    shares.loc[ALL] = absent.mean()
    return shares.rename_axis(index="class" if by == "label" else by)


def is_missing(table: pd.DataFrame, column: str) -> pd.Series:
    """Whether each image lacks it: bool."""
    if column.startswith("has_"):
        return ~table[column]
    return table[column].isna() if column == "age" else table[column].astype(str) == ""


def numbers_known(images: Images) -> pd.DataFrame:
    """What drift is measured on, without brightness: categories as strings, age, longer side, aspect and group."""
    table = images.table
    width, height = table["width"], table["height"]
    return pd.DataFrame(
        {
            **{name: table[name] for name in ("label", "split", "source", "sex", "view")},
            "age": table["age"],
            "longer_side": np.maximum(width, height),
            "aspect": (width / height).where(height > 0),
            "group": table["group"],
        }
    )


def _few(values: pd.Series) -> pd.Series:
    common = values.value_counts().index[:MOST_ROWS]
    return values.where(values.isin(common), OTHER)
