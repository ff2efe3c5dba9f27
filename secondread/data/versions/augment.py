"""A retrain set: a child version that moves groups of a class from `final_eval` into train and val.

`final_eval` stands for the images of a live service. Taking some of them over, once physicians have read them, is how
a model learns from where it is used. Test is inherited as it is, byte for byte, so that the models of parent and child
are judged on the same images.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from secondread.config.augment import AugmentConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.resplit import resplit
from secondread.data.versions.split import SHARES, deal, place
from secondread.errors import InputError

_FROM = "final_eval"
# Of the moved images, what goes where: 7:2, as train and val share the rest of the set.
_SHARES = {name: SHARES[name] / (SHARES["train"] + SHARES["val"]) for name in ("train", "val")}


def augment(parent: DatasetVersion, output: Path, config: AugmentConfig) -> DatasetVersion:
    """Write the child of a version; the images need not be ingested again.

    Args:
        parent: the version to grow from.
        output: folder to write; it appears whole or not at all.
        config: the class, the share of the groups of `final_eval` that hold it (at least one moves), and the seed that
            picks them.
    Raises:
        InputError: the parent has no such class, no `final_eval`, or none of that class in it.
        IntegrityError: the parent is damaged.
    """
    rows = parent.manifest
    moved = moved_groups(parent, config)
    changed = rows.assign(split=rows["group_id"].map(moved).fillna(rows["split"]).astype("string"))
    facts = {**asdict(config), "groups": len(moved), "images": int(rows["group_id"].isin(moved).sum())}
    return resplit(parent, changed, output, facts={"augment": facts})


def moved_groups(parent: DatasetVersion, config: AugmentConfig) -> dict[str, str]:
    """Which groups move, and to which split: the first by a hash of their ids and the seed, whole.

    Raises:
        InputError: there is none that could.
    """
    parent.taxonomy.index(config.label)
    held = parent.manifest[parent.manifest["split"] == _FROM]
    if held.empty:
        raise InputError(
            f"dataset version {parent.root} has no images in {_FROM}, so none can be taken from it. It is set aside "
            "when a set has final_eval_min_images images: `secondread pipeline run data --set "
            "preprocess.final_eval_min_images=N` sets how many; 2000 by default."
        )
    holding = held.loc[held["label"] == config.label, "group_id"].unique()
    if not len(holding):
        raise InputError(f"{_FROM} of dataset version {parent.root} has no image of class '{config.label}'.")
    sizes = held[held["group_id"].isin(holding)].groupby("group_id").size().to_frame("images")
    sizes["split"] = ""
    sizes["place"] = [place(str(group), f"augment-{config.seed}") for group in sizes.index]
    chosen = sizes.sort_values("place").head(max(1, round(config.fraction * len(sizes))))
    return deal(chosen, _SHARES)
