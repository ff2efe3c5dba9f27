"""A retrain set: a child version that moves groups of a class from `final_eval` into train and val.

`final_eval` stands for the images of a live service. Taking some of them over, once physicians have read them, is how
a model learns from where it is used. Test is inherited as it is, byte for byte, so that the models of parent and child
are judged on the same images.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from secondread.atomic import atomic_folder, read_json, sha256_bytes, write_json
from secondread.config.augment import AugmentConfig
from secondread.data.manifest import MANIFEST_FILE, write_manifest
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
from secondread.data.versions.shards import in_shard_order, read_shards, shard_file
from secondread.data.versions.split import SHARES, check_disjoint, deal, place, split_counts
from secondread.data.versions.version import content_hash
from secondread.errors import InputError

_FROM = "final_eval"
# Of the moved images, what goes where: 7:2, as train and val share the rest of the set.
_SHARES = {name: SHARES[name] / (SHARES["train"] + SHARES["val"]) for name in ("train", "val")}
_CHUNK_IMAGES = 4096  # images copied at a time, so that memory does not grow with the set


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
    check_disjoint(changed)
    order = in_shard_order(changed.assign(origin=rows["split"], position=rows.groupby("split").cumcount()))
    document = read_json(parent.root / DATASET_FILE)
    with atomic_folder(output, marker=DATASET_FILE, inputs=[parent.root]) as folder:
        for split, part in order.groupby("split", sort=False):
            _write_shard(parent, part, folder / shard_file(str(split)))
        write_manifest(order, folder / MANIFEST_FILE)
        digests = (sha256_bytes(image.tobytes()) for image in read_shards(folder, order))
        document |= {
            "content_hash": content_hash(order, digests, parent.taxonomy, parent.preprocessing),
            "parent": parent.content_hash,
            "counts": split_counts(order),
            "left_out": {},
            "augment": {**asdict(config), "groups": len(moved), "images": int(rows["group_id"].isin(moved).sum())},
        }
        write_json(folder / DATASET_FILE, document)
    return DatasetVersion.open(output)


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


def _write_shard(parent: DatasetVersion, rows: pd.DataFrame, path: Path) -> None:
    """Collect the pixels of a split from the parent's shards; a split that did not change is copied.

    Args:
        parent: the version to read from.
        rows: of the new split, with `origin`, the split that each is in, and `position`, its place there.
        path: the shard to write.
    """
    origins = {str(name): parent.split(str(name)).images[:, 0] for name in rows["origin"].unique()}
    (first, images), *others = origins.items()
    if not others and len(images) == len(rows) and (rows["position"].to_numpy() == np.arange(len(rows))).all():
        shutil.copyfile(parent.root / shard_file(first), path)
        return
    size = parent.image_size
    shard = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(rows), size, size))
    for start in range(0, len(rows), _CHUNK_IMAGES):
        chunk = rows.iloc[start : start + _CHUNK_IMAGES]
        target = shard[start : start + len(chunk)]
        for origin, source in origins.items():
            here = (chunk["origin"] == origin).to_numpy(bool)
            target[here] = source[chunk["position"].to_numpy()[here]]
    shard.flush()
