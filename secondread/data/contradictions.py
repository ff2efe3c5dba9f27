"""Near duplicates of what is kept: joined in clusters, and left out where they contradict each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from secondread.config.ingest import IngestConfig
from secondread.data.intake import StoredImage
from secondread.data.near_duplicates import cluster_names, find_near_duplicates

NEARLY_UNDER_TWO_LABELS = "nearly the same picture stands under two labels"


def join_near_duplicates(
    kept: Sequence[StoredImage], folder: Path, config: IngestConfig
) -> tuple[list[StoredImage], list[StoredImage]]:
    """Give near duplicates their `cluster_id`, and leave out those that stand under two labels.

    Args:
        kept: images that are no copies, their files under `folder`.
        folder: that they were stored in.
        config: how alike is nearly the same, and what becomes of contradictions.
    Returns:
        What is kept and what is left out, each in the order given.
    """
    names = [""] * len(kept)
    if config.near_duplicate_similarity <= 1:
        paths, hashes = [folder / item.row["path"] for item in kept], [item.detail_hash for item in kept]
        pairs = find_near_duplicates(paths, hashes, similarity=config.near_duplicate_similarity)
        names = cluster_names([item.row["pixel_hash"] for item in kept], pairs)
    joined = [replace(item, row=item.row | {"cluster_id": name}) for item, name in zip(kept, names, strict=True)]
    labels = defaultdict(set)
    for item in joined:
        labels[item.row["cluster_id"]].add(item.image.label)
    contradictory = {name for name, found in labels.items() if name and len(found) > 1}
    if not config.leave_out_contradictions or not contradictory:
        return joined, []
    rejected = [
        replace(item, reason=f"{NEARLY_UNDER_TWO_LABELS} ({', '.join(sorted(labels[item.row['cluster_id']]))}).")
        for item in joined
        if item.row["cluster_id"] in contradictory
    ]
    return [item for item in joined if item.row["cluster_id"] not in contradictory], rejected
