"""What differs between two dataset versions: images added, removed, relabelled, moved and regrouped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from secondread.data.versions.dataset import DatasetVersion

EXAMPLES = 5  # image ids shown of each kind of change
SHOWN_ID = 12  # characters of an image id: enough to find it in a manifest


@dataclass(frozen=True)
class Change:
    """One kind of change.

    Attributes:
        kind: `added`, `removed`, `relabelled`, `moved` (to another split) or `regrouped`.
        images: how many images changed so.
        groups: how many groups they are in, of the later version, or of the earlier if they are gone.
        by_class: images by label (the later one), or by `from -> to` if relabelled.
        by_split: images by split, or by `from -> to` if moved.
        examples: starts of image ids, in their order.
    """

    kind: str
    images: int
    groups: int
    by_class: dict[str, int]
    by_split: dict[str, int]
    examples: tuple[str, ...]


@dataclass(frozen=True)
class VersionDiff:
    """What differs between an earlier and a later version.

    Attributes:
        before: the earlier version.
        after: the later version.
        unchanged: images with the same label, split and group in both.
        other_file: of the images in both, those whose picture is the same in another file.
        changes: one of each kind, in a fixed order; an image may be in several.
    """

    before: DatasetVersion
    after: DatasetVersion
    unchanged: int
    other_file: int
    changes: tuple[Change, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        names, later = set(self.before.taxonomy.names), set(self.after.taxonomy.names)
        return {
            "from": _described(self.before),
            "to": _described(self.after),
            "parent_and_child": self.after.parent == self.before.content_hash,
            "same_content": self.after.content_hash == self.before.content_hash,
            "same_preprocessing": self.after.preprocessing == self.before.preprocessing,
            "classes_added": sorted(later - names),
            "classes_removed": sorted(names - later),
            "unchanged": self.unchanged,
            "other_file": self.other_file,
            **{
                change.kind: {
                    "images": change.images,
                    "groups": change.groups,
                    "by_class": change.by_class,
                    "by_split": change.by_split,
                    "examples": list(change.examples),
                }
                for change in self.changes
            },
        }


def diff_versions(before: DatasetVersion, after: DatasetVersion) -> VersionDiff:
    """Compare two versions.

    An image of one is that image of the other if the files are the same (`image_id`), else if the pictures are
    (`pixel_hash`). It is regrouped if the images of both versions that stand with it are not the same in both: the
    mere name of a group says nothing.
    """
    old, new, other_file = _paired(before.manifest, after.manifest)
    gone, added = old[~old.index.isin(new.index)], new[~new.index.isin(old.index)]
    old = old.loc[old.index.isin(new.index)]
    both = new.loc[old.index]
    relabelled, moved = old["label"] != both["label"], old["split"] != both["split"]
    regrouped = _regrouped(old["group_id"], both["group_id"])
    renamed, dealt = old["label"] + " -> " + both["label"], old["split"] + " -> " + both["split"]
    changes = (
        _change("added", added, added["label"], added["split"]),
        _change("removed", gone, gone["label"], gone["split"]),
        _change("relabelled", both[relabelled], renamed[relabelled], both["split"][relabelled]),
        _change("moved", both[moved], both["label"][moved], dealt[moved]),
        _change("regrouped", both[regrouped], both["label"][regrouped], both["split"][regrouped]),
    )
    return VersionDiff(before, after, int((~relabelled & ~moved & ~regrouped).sum()), other_file, changes)


def _paired(before: pd.DataFrame, after: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Both manifests, an image of both under the same index; and how many of these are the same by picture only."""
    old, new = (rows.set_index(_numbered(rows, "image_id")) for rows in (before, after))
    left, right = (rows[~rows.index.isin(other.index)] for rows, other in ((old, new), (new, old)))
    pictures = [pd.Series(rows.index, index=_numbered(rows, "pixel_hash")) for rows in (left, right)]
    same = pd.concat(pictures, axis=1, join="inner", keys=["old", "new"]).set_index("new")["old"]
    new.index = pd.Index([same.get(key, key) for key in new.index])
    return old, new, len(same)


def _numbered(rows: pd.DataFrame, column: str) -> pd.Index:
    """A hash of each row, and a number where it is there more than once (in the order of the labels)."""
    ordered = rows.reset_index(drop=True).sort_values([column, "label", "image_id"])
    number = ordered.groupby(column).cumcount().sort_index()
    return pd.Index(list(rows[column].reset_index(drop=True) + "#" + number.astype("string")))


def _regrouped(before: pd.Series, after: pd.Series) -> pd.Series:
    """Whether an image's companions, of the images that both versions have, are others."""
    pairs = (before + "\t" + after).to_frame("pair").assign(before=before, after=after)
    together = pairs.groupby("pair")["pair"].transform("size")
    return (together != pairs.groupby("before")["pair"].transform("size")) | (
        together != pairs.groupby("after")["pair"].transform("size")
    )


def _change(kind: str, rows: pd.DataFrame, classes: pd.Series, splits: pd.Series) -> Change:
    ids = sorted(str(image)[:SHOWN_ID] for image in rows["image_id"].sort_values().head(EXAMPLES))
    by_class, by_split = (
        {str(name): int(count) for name, count in values.value_counts().sort_index().items()}
        for values in (classes, splits)
    )
    return Change(kind, len(rows), int(rows["group_id"].nunique()), by_class, by_split, tuple(ids))


def _described(version: DatasetVersion) -> dict[str, Any]:
    return {
        "name": version.name,
        "content_hash": version.content_hash,
        "parent": version.parent,
        "images": len(version.manifest),
        "image_size": version.image_size,
    }
