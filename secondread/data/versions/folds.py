"""Folds for cross-validation: each image is held out once, and no group stands on two sides.

The groups of each class are dealt to the folds in the order of a hash of their ids and the seed, each to the fold that
has least, as splits are. Within a fold what is not held out is dealt to train and val in the same way.
"""

from __future__ import annotations

import pandas as pd

from secondread.data.versions.split import deal, group_table
from secondread.errors import InputError

GROUPS = ("group_id", "patient_id", "image_id")
# Of what is not held out. Val picks the best epoch and the scaling; an eighth of four fifths is a tenth of all.
SHARES = {"train": 7 / 8, "val": 1 / 8}
_SET_ASIDE = "final_eval"
# What would keep images of one patient together, besides the picture itself.
_TIES = ("patient_id", "study_id", "cluster_id")


def deal_folds(manifest: pd.DataFrame, *, folds: int, group: str, seed: int) -> pd.DataFrame:
    """Give each image the fold that it is held out in.

    Args:
        manifest: of a dataset version.
        folds: how many.
        group: `group_id`: what the version keeps together, a patient with all that is like their images; `patient_id`:
            the same, of a version that knows patients; `image_id`: each picture by itself, as many papers do.
        seed: of the order in which groups are dealt.
    Returns:
        The manifest, row for row, with `fold` from 1 on (0 for `final_eval`, which stays untouched), and with the
        groups that it was dealt by as `group_id`: of `image_id` neither patient, study nor cluster is left.
    Raises:
        InputError: no patient is known, or a class has fewer groups than there are folds.
    """
    rows = _grouped(manifest, group)
    used = rows[~rows["split"].isin([_SET_ASIDE, ""])]
    groups = group_table(used, f"folds-{seed}").assign(split="")
    shares = {str(fold): 1 / folds for fold in range(1, folds + 1)}
    dealt: dict[str, str] = {}
    for _, members in groups.groupby("label", sort=True):
        dealt.update(deal(members.sort_values("place"), shares))
    fold = used["group_id"].map(dealt).astype("int64")
    _check_complete(used["label"], fold, folds)
    return rows.assign(fold=fold.reindex(rows.index, fill_value=0))


def fold_splits(dealt: pd.DataFrame, fold: int, *, seed: int) -> pd.DataFrame:
    """The rows with the splits of one fold: what it holds out is test, the rest is train and val.

    Args:
        dealt: as `deal_folds` gives.
        fold: from 1.
        seed: of the order in which groups are dealt.
    """
    rest = dealt[(dealt["fold"] > 0) & (dealt["fold"] != fold)]
    groups = group_table(rest, f"fold-{seed}-{fold}").assign(split="")
    split: dict[str, str] = {}
    for _, members in groups.groupby("label", sort=True):
        split.update(deal(members.sort_values("place"), SHARES))
    splits = dealt["group_id"].map(split).where(dealt.index.isin(rest.index)).fillna("")
    return dealt.assign(split=splits.mask(dealt["fold"] == fold, "test").astype("string"))


def divided(manifest: pd.DataFrame, dealt: pd.DataFrame) -> int:
    """How many of the version's own groups (patients) have images in several folds."""
    used = dealt["fold"] > 0
    return int((dealt[used].groupby(manifest["group_id"][used])["fold"].nunique() > 1).sum())


def _grouped(manifest: pd.DataFrame, group: str) -> pd.DataFrame:
    if group not in GROUPS:
        raise InputError(f"images cannot be dealt by '{group}'. Choose one of {', '.join(GROUPS)}.")
    if group == "patient_id" and not (manifest["patient_id"] != "").any():
        raise InputError("no patient of this dataset version is known. Deal by group_id, or give patients at ingest.")
    if group != "image_id":
        return manifest
    # two files of one picture are one image: with one on each side, nothing would be held out
    return manifest.assign(group_id=manifest["pixel_hash"], **dict.fromkeys(_TIES, ""))


def _check_complete(labels: pd.Series, fold: pd.Series, folds: int) -> None:
    """Each fold must be able to judge every class, and to learn it from the others."""
    found = pd.crosstab(labels, fold).reindex(columns=range(1, folds + 1), fill_value=0)
    for label, counts in found.iterrows():
        if (counts == 0).any():
            raise InputError(
                f"class '{label}' came to no image in {int((counts == 0).sum())} of {folds} folds: it is in too few "
                "groups. Take fewer folds, or add images of it."
            )
