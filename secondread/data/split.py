"""Which group goes into which split: by group, and stratified by class.

Every group is given a place in [0, 1) by a hash of its id and the seed. Within each class the groups are put in the
order of that place and dealt out so that images come close to 7:2:1. The same rows and seed give the same splits,
in whatever order the rows stand.
"""

from __future__ import annotations

import hashlib

import pandas as pd

from secondread.config import PreprocessConfig
from secondread.errors import InputError, IntegrityError

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


def assign_splits(rows: pd.DataFrame, config: PreprocessConfig) -> pd.Series:
    """Give each image its split.

    Args:
        rows: columns `label` and `group_id`.
        config: seed, and how much is set aside as `final_eval`.
    Returns:
        Split names, aligned with the rows. All rows of a group have the same one.
    Raises:
        InputError: a class has too few groups to be in train, val and test.
    """
    groups = _groups(rows, config.split_seed)
    _check_enough(rows, groups, config)
    shares = dict(SHARES)
    if len(rows) >= config.final_eval_min_images and config.final_eval_share > 0:
        rest = 1 - config.final_eval_share
        shares = {"final_eval": config.final_eval_share} | {name: share * rest for name, share in SHARES.items()}
    split = {}
    for _, members in groups.groupby("label", sort=True):
        split.update(_deal(members.sort_values("place"), shares))
    return rows["group_id"].map(split).astype("string")


def _groups(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row a group: its size in images, its commonest label (to stratify by) and its place."""
    counts = rows.groupby(["group_id", "label"], sort=True).size().rename("images").reset_index()
    # a patient may have images of several classes; the rarest of the set decides, since it has least to spare
    frequency = rows["label"].value_counts()
    counts["frequency"] = counts["label"].map(frequency)
    first = counts.sort_values(["group_id", "frequency", "label"]).drop_duplicates("group_id").set_index("group_id")
    groups = counts.groupby("group_id")["images"].sum().to_frame()
    groups["label"] = first["label"]
    groups["place"] = [_place(group, seed) for group in groups.index]
    return groups


def _place(group_id: str, seed: int) -> float:
    """A number in [0, 1) that depends on the group and the seed alone."""
    digest = hashlib.sha256(f"{seed}:{group_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _check_enough(rows: pd.DataFrame, groups: pd.DataFrame, config: PreprocessConfig) -> None:
    per_class = groups["label"].value_counts()
    for label in sorted(rows["label"].unique()):
        found = int(per_class.get(label, 0))
        if found < config.min_groups_per_class:
            raise InputError(
                f"class '{label}' has {found} patient(s) or ungrouped image(s), too few to split: at least "
                f"{config.min_groups_per_class} are needed. Add images, or leave that class out."
            )


def _deal(members: pd.DataFrame, shares: dict[str, float]) -> dict[str, str]:
    """Deal the groups of a class, in order, each to the split that is furthest below its share of images."""
    total = int(members["images"].sum())
    missing = {name: share * total for name, share in shares.items()}
    # one group each comes first, so that a class of three groups is still in train, val and test
    names = list(SHARES)
    dealt = {}
    for position, (group, images) in enumerate(members["images"].items()):
        name = names[position] if position < len(names) else max(missing, key=missing.__getitem__)
        dealt[str(group)] = name
        missing[name] -= images
    return dealt


def check_disjoint(rows: pd.DataFrame) -> None:
    """Refuse a manifest in which a group is in two splits.

    Raises:
        IntegrityError: with how many groups; which ones is not said, since a group may be a patient.
    """
    splits = rows[rows["split"] != ""].groupby("group_id")["split"].nunique()
    leaking = splits[splits > 1]
    if len(leaking):
        raise IntegrityError(
            f"{len(leaking)} group(s) are in two splits, so a model would be judged on patients it has seen. "
            "Split by group again."
        )


def split_counts(rows: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Images by split and class, as plain numbers."""
    table = pd.crosstab(rows["split"], rows["label"])
    return {str(split): {str(label): int(n) for label, n in counts.items() if n} for split, counts in table.iterrows()}
