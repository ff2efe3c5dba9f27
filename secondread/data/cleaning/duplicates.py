"""What a source holds twice: the same pixels under two labels, and copies of an image."""

from __future__ import annotations

import pandas as pd

UNDER_TWO_LABELS = "stands under two labels"
COPY = "is a copy of another image"


def mark_duplicates(rows: pd.DataFrame) -> pd.DataFrame:
    """Give what stands under two labels, and copies, the reason why they are left out.

    Pixels are compared, not files, since one film may come as a PNG and as a DICOM. The same pixels under one label
    but of two known patients are both kept: which of the two is wrong cannot be known, and the split keeps them
    together.

    Args:
        rows: columns `pixel_hash`, `label`, `patient_id` (empty where not known) and `reason` (empty where kept).
    Returns:
        The rows with their reasons.
    """
    rows = rows.copy()
    kept = rows[rows["reason"] == ""]
    shared = kept[kept.duplicated("pixel_hash", keep=False)]
    same = shared.groupby("pixel_hash")
    named = (shared["patient_id"] != "").groupby(shared["pixel_hash"]).transform("any")
    # the copy that says who the patient is stays, since it joins the film to the patient's others
    copies = (named & (shared["patient_id"] == "")) | shared.duplicated(["pixel_hash", "patient_id"])
    rows.loc[copies.index[copies], "reason"] = f"{COPY}."
    contradicting = shared[same["label"].transform("nunique") > 1]
    for _, group in contradicting.groupby("pixel_hash"):
        rows.loc[group.index, "reason"] = f"{UNDER_TWO_LABELS} ({', '.join(sorted(group['label'].unique()))})."
    return rows
