"""Which images must stay together: those of a patient, of a picture, and of pictures that are nearly the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def group_ids(rows: pd.DataFrame) -> pd.Series:
    """The patient, else the picture; and patients who share a picture or a cluster of near duplicates are one group.

    Args:
        rows: columns `patient_id`, empty where it is not known, `pixel_hash` and, where near duplicates were looked
            for, `cluster_id`, empty for an image that has none.
    Returns:
        Group ids, aligned with the rows: the first, in alphabetical order, of the ids that were joined.
    """
    alone = "pixels-" + rows["pixel_hash"].str.slice(0, 32)
    own = ("patient-" + rows["patient_id"]).where(rows["patient_id"] != "", alone)
    group, names = pd.factorize(own, sort=True)
    shared = "pixels-" + rows["pixel_hash"]
    edges = [(group, shared.to_numpy(object))]
    if "cluster_id" in rows:
        has = (rows["cluster_id"] != "").to_numpy(bool)
        edges.append((group[has], ("cluster-" + rows["cluster_id"][has]).to_numpy(object)))
    starts = np.concatenate([start for start, _ in edges])
    ends, nodes = pd.factorize(np.concatenate([end for _, end in edges]))
    # groups, and what they may share, are the nodes of a graph; every row is an edge, or two
    size = len(names) + len(nodes)
    links = coo_array((np.ones(len(starts)), (starts, len(names) + ends)), shape=(size, size))
    _, joined = connected_components(links, directed=False)
    first = pd.Series(names).groupby(joined[: len(names)]).first()  # of the sorted names
    return pd.Series(first.loc[joined[group]].to_numpy(), index=rows.index, dtype="string")
