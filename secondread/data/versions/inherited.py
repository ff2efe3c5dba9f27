"""Whether a version has its parent's test split as it was: models of both are then judged on the same images."""

from __future__ import annotations

import numpy as np
import pandas as pd

from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import InputError

_SPLIT = "test"
_COLUMNS = ["image_id", "label", "group_id"]
_CHUNK_IMAGES = 4096  # images compared at a time, so that memory does not grow with the set


def check_inherited_test(child: DatasetVersion, parent: DatasetVersion) -> None:
    """Refuse a child whose test split is not its parent's: images, labels, groups and pixels.

    That no image of test is learned from follows, since no group is in two splits of a version.

    Args:
        child: such as `data augment` writes it.
        parent: the version that it grew from.
    Raises:
        InputError: both are the same version, or the classes, the preprocessing or the test images are others.
    """
    if child.content_hash == parent.content_hash:
        raise InputError(
            f"dataset version {child.name} is named as child and as parent: there is nothing new to learn from. Name a "
            "child, such as `secondread data augment` makes one."
        )
    if child.taxonomy.names != parent.taxonomy.names or child.preprocessing != parent.preprocessing:
        raise InputError(
            f"dataset version {child.name} has other classes or another preprocessing than {parent.name}: their models "
            "see and say different things. Make the child with the parent's settings."
        )
    theirs, ours = (version.split(_SPLIT) for version in (parent, child))
    if len(theirs.labels) != len(ours.labels):
        raise _touched(child, parent, f"{len(theirs.labels)} images became {len(ours.labels)}")
    by_id = [data.rows.sort_values("image_id", kind="stable").index.to_numpy() for data in (theirs, ours)]
    rows = [_plain(data.rows.loc[order]) for data, order in zip((theirs, ours), by_id, strict=True)]
    for column in _COLUMNS:
        changed = int((rows[0][column].to_numpy() != rows[1][column].to_numpy()).sum())
        if changed:
            raise _touched(child, parent, f"{changed} of its images have another {column}")
    for start in range(0, len(by_id[0]), _CHUNK_IMAGES):
        before, after = (order[start : start + _CHUNK_IMAGES] for order in by_id)
        if not np.array_equal(theirs.images[before], ours.images[after]):
            raise _touched(child, parent, "pixels differ")


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[_COLUMNS].astype(object).reset_index(drop=True)


def _touched(child: DatasetVersion, parent: DatasetVersion, what: str) -> InputError:
    return InputError(
        f"the test split of dataset version {child.name} is not that of {parent.name} ({what}), so their models cannot "
        "be compared. Name the version that it grew from, or make the child with `secondread data augment`."
    )
