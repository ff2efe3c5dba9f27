"""Which images must stay together: those of a patient, of a picture, and of pictures that are nearly the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_NAME_DIGITS = 32  # hex; 128 bits: no two pictures of any set meet by chance


def group_ids(rows: pd.DataFrame) -> pd.Series:
    """The patient, else the picture; and who share a picture, a cluster of near duplicates or a study are one group.

    A group is named by its pictures, never by its patient: the hash of a patient id is another wherever the secret key
    is, and a split dealt by it would be another too.

    Args:
        rows: columns `patient_id`, empty where it is not known, `pixel_hash` and, where they are known, `cluster_id`
            of near duplicates and `study_id`, empty for an image that has none.
    Returns:
        Group ids, aligned with the rows: `pixels-` and the start of the least picture hash in the group.
    """
    picture = "pixels-" + rows["pixel_hash"]
    own = ("patient-" + rows["patient_id"]).where(rows["patient_id"] != "", picture)
    group, names = pd.factorize(own)
    edges = [(group, picture.to_numpy(object))]
    if "cluster_id" in rows:
        has = (rows["cluster_id"] != "").to_numpy(bool)
        edges.append((group[has], ("cluster-" + rows["cluster_id"][has]).to_numpy(object)))
    study = studies(rows)
    has = (study != "").to_numpy(bool)
    edges.append((group[has], ("study-" + study[has]).to_numpy(object)))
    starts = np.concatenate([start for start, _ in edges])
    ends, nodes = pd.factorize(np.concatenate([end for _, end in edges]))
    # groups, and what they may share, are the nodes of a graph; every row is an edge, or two
    size = len(names) + len(nodes)
    links = coo_array((np.ones(len(starts)), (starts, len(names) + ends)), shape=(size, size))
    _, joined = connected_components(links, directed=False)
    least = rows["pixel_hash"].groupby(joined[group]).transform("min").str.slice(0, _NAME_DIGITS)
    return ("pixels-" + least).astype("string")


def studies(rows: pd.DataFrame) -> pd.Series:
    """The study of each image where that is of one patient, known or not; else empty.

    A study that several patients have is numbered within the patient: the first of each is no study of them all.
    """
    if "study_id" not in rows:
        return pd.Series("", index=rows.index, dtype="string")
    patients = rows["patient_id"].where(rows["patient_id"] != "").groupby(rows["study_id"]).transform("nunique")
    return rows["study_id"].where(patients <= 1, "")
