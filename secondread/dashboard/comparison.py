"""Two versions side by side: what `data diff` counts, and how far the later one has drifted."""

from __future__ import annotations

from typing import Any

import pandas as pd

from secondread.dashboard.images import Images
from secondread.dashboard.shelf import Held
from secondread.dashboard.tables import numbers_known
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.diff import diff_versions
from secondread.data.versions.drift import Drift, dataset_drift

KINDS = {
    "added": "added",
    "removed": "removed",
    "relabelled": "given another class",
    "moved": "moved to another split",
    "regrouped": "grouped with others",
}


def changes(before: Held, after: Held) -> tuple[pd.DataFrame, list[str]]:
    """What `data diff` says: images and groups by kind of change, and remarks in plain sentences.

    Raises:
        IntegrityError: a version is damaged, or has a group in two splits.
    """
    document = diff_versions(*(DatasetVersion.open(held.records()) for held in (before, after))).to_dict()
    rows = [
        {
            "change": title,
            "images": document[kind]["images"],
            "groups": document[kind]["groups"],
            "by class": _listed(document[kind]["by_class"]),
            "by split": _listed(document[kind]["by_split"]),
        }
        for kind, title in KINDS.items()
    ]
    same = {"change": "unchanged", "images": document["unchanged"], "groups": None, "by class": "", "by split": ""}
    return pd.DataFrame([*rows, same]).astype({"groups": "Int64"}).set_index("change"), _remarks(document)


def _remarks(document: dict[str, Any]) -> list[str]:
    remarks = []
    if document["same_content"]:
        remarks.append("The same content: what a model learns from is byte for byte the same.")
    if document["parent_and_child"]:
        remarks.append("The later version grew from the earlier one.")
    if not document["same_preprocessing"]:
        sizes = f"{document['from']['image_size']} px, then {document['to']['image_size']} px"
        remarks.append(f"The pixels were made in another way ({sizes}).")
    named = {what: document[f"classes_{what}"] for what in ("added", "removed")}
    return remarks + [f"Classes {what}: {', '.join(names)}." for what, names in named.items() if names]


def drifts(before: Images, after: Images, brightnesses: tuple[pd.Series, pd.Series] | None = None) -> list[Drift]:
    """How far the later version has drifted, the largest shift first.

    Args:
        before: the earlier version.
        after: the later one.
        brightnesses: of both, where they were read; then brightness is compared too.
    """
    tables = [numbers_known(images) for images in (before, after)]
    found = dataset_drift(*tables)
    if brightnesses is not None:
        # only the images that were looked at: for the others the brightness is not missing, but was not asked for
        seen = [
            table.assign(brightness=values)[values.notna()][["brightness", "group"]]
            for table, values in zip(tables, brightnesses, strict=True)
        ]
        found += dataset_drift(*seen)
    return sorted(found, key=lambda item: item.psi, reverse=True)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
