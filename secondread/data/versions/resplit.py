"""A child version that has its parent's images, dealt to the splits anew; the images need not be ingested again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from secondread.atomic import atomic_folder, read_json, sha256_bytes, write_json
from secondread.data.manifest import MANIFEST_FILE, write_manifest
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
from secondread.data.versions.shards import in_shard_order, read_shards, shard_file
from secondread.data.versions.split import check_disjoint, split_counts
from secondread.data.versions.version import content_hash

_CHUNK_IMAGES = 4096  # images copied at a time, so that memory does not grow with the set


def resplit(parent: DatasetVersion, rows: pd.DataFrame, output: Path, *, facts: Mapping[str, Any]) -> DatasetVersion:
    """Write the child.

    Args:
        parent: the version to take the pixels from.
        rows: its manifest, row for row, with other splits or groups; images without a split are left out.
        output: folder to write; it appears whole or not at all.
        facts: what `dataset.json` says of it beside what the parent's does.
    Raises:
        IntegrityError: a group, patient, picture or cluster would be in two splits, or the parent is damaged.
    """
    check_disjoint(rows)
    before = parent.manifest["split"]
    order = in_shard_order(rows.assign(origin=before, position=before.groupby(before).cumcount()))
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
            **facts,
        }
        write_json(folder / DATASET_FILE, document)
    return DatasetVersion.open(output)


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
