"""What a source holds twice: the same pixels under two labels, and copies of an image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from secondread.data.intake import StoredImage

UNDER_TWO_LABELS = "stands under two labels"
COPY = "is a copy of another image"


def sort_out(stored: Iterable[StoredImage]) -> tuple[list[StoredImage], list[StoredImage]]:
    """Leave out what could not be read, what stands under two labels, and copies.

    Pixels are compared, not files, since one film may come as a PNG and as a DICOM. The same pixels under one label
    but of two known patients are both kept: which of the two is wrong cannot be known, and the split keeps them
    together.

    Returns:
        What is kept and what is left out, each in the order given.
    """
    items = list(stored)
    labels, patients = defaultdict(set), defaultdict(set)
    for item in items:
        if not item.reason:
            labels[item.row["pixel_hash"]].add(item.image.label)
            patients[item.row["pixel_hash"]].add(item.image.patient_id)
    kept, rejected, seen = [], [], set()
    for item in items:
        reason = item.reason
        if not reason:
            pixels, patient = item.row["pixel_hash"], item.image.patient_id
            # the copy that says who the patient is stays, since it joins the film to the patient's others
            named_elsewhere = not patient and any(patients[pixels])
            if len(labels[pixels]) > 1:
                reason = f"{UNDER_TWO_LABELS} ({', '.join(sorted(labels[pixels]))})."
            elif named_elsewhere or (pixels, patient) in seen:
                reason = f"{COPY}."
            seen.add((pixels, patient))
        if reason:
            rejected.append(replace(item, reason=reason))
        else:
            kept.append(item)
    return kept, rejected
