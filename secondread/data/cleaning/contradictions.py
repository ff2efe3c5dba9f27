"""Near duplicates of what is kept: joined in clusters, and left out where they contradict each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from secondread.config.ingest import IngestConfig
from secondread.data.cleaning.cropped_copies import find_cropped_copies
from secondread.data.cleaning.duplicates import UNDER_TWO_LABELS
from secondread.data.cleaning.near_duplicates import cluster_names, find_near_duplicates
from secondread.logging import get_logger

log = get_logger(__name__)

NEARLY_UNDER_TWO_LABELS = "nearly the same picture stands under two labels"


def join_near_duplicates(rows: pd.DataFrame, folder: Path, config: IngestConfig) -> pd.DataFrame:
    """Give near duplicates their `cluster_id`, and those that stand under two labels a reason to be left out.

    Args:
        rows: columns `path`, `pixel_hash`, `detail_hash`, `patient_id`, `label` and `reason`; what has no reason yet is
            no copy.
        folder: that the paths are relative to.
        config: how alike is nearly the same, and what becomes of contradictions.
    Returns:
        The rows with `cluster_id` and their reasons.
    """
    rows = rows.assign(cluster_id="")
    if config.near_duplicate_similarity > 1:
        return rows
    # what stands under two labels is out already, but a copy of it under one of them is no better known
    kept = rows[(rows["reason"] == "") | rows["reason"].str.startswith(UNDER_TWO_LABELS)]
    pairs = find_near_duplicates(
        [folder / path for path in kept["path"]],
        [bytes.fromhex(text) for text in kept["detail_hash"]],
        similarity=config.near_duplicate_similarity,
    )
    if len(kept) <= config.find_cropped_up_to:
        detailed = np.flatnonzero(kept["detail_hash"] != "")  # the others are too small to tell people apart by
        known = kept.iloc[detailed]
        paths = [folder / path for path in known["path"]]
        cropped = find_cropped_copies(paths, known["pixel_hash"].tolist(), known["patient_id"].tolist())
        pairs = np.concatenate([pairs, detailed[cropped]])
    elif config.find_cropped_up_to:
        log.warning(
            "cropped copies are not looked for among %d images, only among up to %d (find_cropped_up_to).",
            len(kept),
            config.find_cropped_up_to,
        )
    rows.loc[kept.index, "cluster_id"] = cluster_names(kept["pixel_hash"].tolist(), pairs)
    if config.leave_out_contradictions:
        for _, group in rows[rows["cluster_id"] != ""].groupby("cluster_id"):
            labels = sorted(group["label"].unique())
            if len(labels) > 1:
                left = group.index[group["reason"] == ""]
                rows.loc[left, "reason"] = f"{NEARLY_UNDER_TWO_LABELS} ({', '.join(labels)})."
    return rows
