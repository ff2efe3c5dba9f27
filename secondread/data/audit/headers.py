"""What headers and pixels say of a set beside the finding: films that contradict it, and text burnt into films."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from secondread.data.audit.finding import Finding
from secondread.data.audit.severity import LOOK, NONE
from secondread.data.audit.subject import INGESTED, Subject
from secondread.data.cleaning.header_checks import CONTRADICTION

_LEVEL = 0.95  # of the intervals
_SHOWN = 8  # pictures with text


def contradicting_headers(subject: Subject) -> Finding:
    """Films that ingest left out since their own header says that they are of another modality or body part."""
    count = sum(number for reason, number in subject.rejected_counts.items() if reason == CONTRADICTION)
    known = int((subject.rows["body_part"] != "").sum())
    return Finding(
        "contradicting_headers",
        "Wrong body part or modality",
        LOOK if count else NONE,
        count,
        f"{count} of the source's films {'was' if count == 1 else 'were'} left out by ingest: the header says another "
        "modality or body part than the set's. A source that has such films may have more, whose header says nothing."
        if count
        else f"no header contradicts the set; the body part of {known} of {len(subject.rows)} images is known.",
    )


def burnt_in_text(subject: Subject) -> Finding:
    """Text in the pictures, by class: it may name a patient, and it tells where a film was made."""
    name, title = "burnt_in_text", "Text burnt into pictures"
    rows = subject.rows[subject.rows["burnt_in_text"] != ""]
    has = rows["burnt_in_text"].isin(["stated", "seen"])
    if not has.any():
        untold = "it was not looked for: the pictures are too small, or an earlier version took them in."
        return Finding(name, title, NONE, 0, "no text is seen." if len(rows) else untold)
    stated = int((rows["burnt_in_text"] == "stated").sum())
    by_class = "; ".join(
        f"{label} {_share(int(part.sum()), len(part))}" for label, part in has.groupby(rows["label"], sort=True)
    )
    return Finding(
        name,
        title,
        LOOK,
        int(has.sum()),
        f"text stands in {_share(int(has.sum()), len(rows))} of the images that are large enough to tell, {stated} by "
        f"their header: {by_class}. It may name a patient, and it tells a model where a film was made. Letters are "
        "seen, not read; single side markers are not counted.",
        shown=_examples(subject, has) if subject.kind == INGESTED else (),
    )


def _share(count: int, of: int) -> str:
    interval = binomtest(count, of).proportion_ci(_LEVEL, method="wilson")
    return f"{count / of:.1%} ({interval.low:.1%} to {interval.high:.1%}; {count} of {of})"


def _examples(subject: Subject, has: pd.Series) -> tuple[int, ...]:
    """Positions of some images with text, from all over the set."""
    positions = np.flatnonzero(subject.rows.index.isin(has[has].index))
    chosen = np.linspace(0, len(positions) - 1, min(_SHOWN, len(positions))).astype(int)
    return tuple(int(positions[at]) for at in chosen)
