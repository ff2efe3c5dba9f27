"""Which group goes into which split: by group, and stratified by class.

Every group is given a place in [0, 1) by a hash of its id and the seed. Within each class the groups are put in the
order of that place and dealt out so that images come close to 7:2:1. The same rows and seed give the same splits,
in whatever order the rows stand and whatever the size of the pixels.

A version with a parent keeps the splits that the parent gave. Its new groups are dealt on from there, each to the split
that is furthest below its share; a class that the parent does not have is dealt afresh.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping

import pandas as pd

from secondread.config.preprocess import PreprocessConfig
from secondread.errors import InputError, IntegrityError

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


def assign_splits(rows: pd.DataFrame, config: PreprocessConfig, inherited: pd.Series | None = None) -> pd.Series:
    """Give each image its split.

    Args:
        rows: columns `label` and `group_id`.
        config: seed, and how much is set aside as `final_eval`.
        inherited: aligned with the rows: the split that the group has already, empty for a new group.
    Returns:
        Split names, aligned with the rows. All rows of a group have the same one.
    Raises:
        InputError: a class is in too few groups to be in train, val and test.
    """
    groups = group_table(rows, config.split_seed)
    groups["split"] = "" if inherited is None else inherited.groupby(rows["group_id"]).first()
    _check_enough(rows, config)
    shares = dict(SHARES)
    enough = len(rows) >= config.final_eval_min_images or bool((groups["split"] == "final_eval").any())
    if enough and config.final_eval_share > 0:
        rest = 1 - config.final_eval_share
        shares = {"final_eval": config.final_eval_share} | {name: share * rest for name, share in SHARES.items()}
    split = groups["split"][groups["split"] != ""].to_dict()
    for _, members in groups.groupby("label", sort=True):
        split.update(deal(members.sort_values("place"), shares))
    splits = rows["group_id"].map(split).astype("string")
    _check_complete(rows["label"], splits)
    return splits


def group_table(rows: pd.DataFrame, seed: int | str) -> pd.DataFrame:
    """One row a group: its size in `images`, the rarest of its labels (`label`, to stratify by) and its `place`."""
    counts = rows.groupby(["group_id", "label"], sort=True).size().rename("images").reset_index()
    # a patient may have images of several classes; the one that is rarest in the set has least to spare
    frequency = rows["label"].value_counts()
    counts["frequency"] = counts["label"].map(frequency)
    first = counts.sort_values(["group_id", "frequency", "label"]).drop_duplicates("group_id").set_index("group_id")
    groups = counts.groupby("group_id")["images"].sum().to_frame()
    groups["label"] = first["label"]
    groups["place"] = [place(group, seed) for group in groups.index]
    return groups


def place(group_id: str, seed: int | str) -> float:
    """A number in [0, 1) that depends on the group and the seed alone."""
    digest = hashlib.sha256(f"{seed}:{group_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _check_enough(rows: pd.DataFrame, config: PreprocessConfig) -> None:
    for label, found in rows.groupby("label", sort=True)["group_id"].nunique().items():
        if found < config.min_groups_per_class:
            raise InputError(
                f"class '{label}' has {found} patient(s) or ungrouped image(s), too few to split: at least "
                f"{config.min_groups_per_class} are needed. Add images, or leave that class out."
            )


def _check_complete(labels: pd.Series, splits: pd.Series) -> None:
    """Patients with images of several classes are dealt out by one of these; the others may come to nothing."""
    found = pd.crosstab(labels, splits).reindex(columns=list(SHARES), fill_value=0)
    for label, counts in found.iterrows():
        empty = [str(name) for name, images in counts.items() if not images]
        if empty:
            raise InputError(
                f"class '{label}' came to no image in {' and '.join(empty)}: its patients have images of rarer classes "
                "too, and there are too few of them. Add patients, or choose another split_seed."
            )


def deal(members: pd.DataFrame, shares: Mapping[str, float]) -> dict[str, str]:
    """Deal the groups of a class, each to the split that it fills least (the D'Hondt method).

    In the order of their places, but first those that hold more images than the smallest split is to have: the others
    can make up for them. Groups that have a split already keep it, and count in what is filled.

    Args:
        members: by group id: `images`, `place`, and `split`, empty where there is none yet.
        shares: what part of the images each split is to have.
    Returns:
        The split of each group that had none.
    """
    total = int(members["images"].sum())
    filled = {name: int(members.loc[members["split"] == name, "images"].sum()) for name in shares}
    new = members[members["split"] == ""]
    large = new["images"] > min(shares.values()) * total
    new = pd.concat([new[large], new[~large]])
    dealt = {}
    for group, images in new["images"].items():
        name = min(shares, key=lambda name: (filled[name] + images) / (shares[name] * total))
        dealt[str(group)] = name
        filled[name] += images
    for empty in [name for name in SHARES if name in shares and not filled[name]]:
        _fill_empty(empty, dealt, new)
    return dealt


def _fill_empty(empty: str, dealt: dict[str, str], members: pd.DataFrame) -> None:
    """Give an empty split the smallest group of the split that got most groups."""
    if not dealt:
        return
    richest, count = Counter(dealt.values()).most_common(1)[0]
    if count > 1:
        given = members[members.index.map(dealt) == richest].sort_values(["images", "place"])
        dealt[str(given.index[0])] = empty


def check_disjoint(rows: pd.DataFrame) -> None:
    """Refuse a manifest in which a group, a picture, a patient or a cluster of near duplicates is in two splits.

    Raises:
        IntegrityError: with how many; which ones is not said, since a group may be a patient.
    """
    placed = rows[rows["split"] != ""]
    # patients and clusters are looked at by themselves, so that a group that was formed wrongly is found too
    kinds = {"group_id": "group(s)", "pixel_hash": "picture(s)", "patient_id": "patient(s)", "cluster_id": "cluster(s)"}
    for column, what in kinds.items():
        if column not in placed:
            continue
        splits = placed[placed[column] != ""].groupby(column)["split"].nunique()
        leaking = int((splits > 1).sum())
        if leaking:
            raise IntegrityError(
                f"{leaking} {what} are in two splits, so a model would be judged on what it has seen. "
                "Split by group again."
            )


def split_counts(rows: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Images by split and class, as plain numbers."""
    table = pd.crosstab(rows["split"], rows["label"])
    return {str(split): {str(label): int(n) for label, n in counts.items() if n} for split, counts in table.iterrows()}
