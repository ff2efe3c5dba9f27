"""What is wrong with a set as a set: leaks between splits, repeats, contradictions, unknown patients."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from secondread.data.audit.finding import Finding
from secondread.data.audit.headers import burnt_in_text, contradicting_headers
from secondread.data.audit.severity import LOOK, NONE, SERIOUS
from secondread.data.audit.subject import Subject
from secondread.data.cleaning.contradictions import NEARLY_UNDER_TWO_LABELS
from secondread.data.cleaning.duplicates import COPY, UNDER_TWO_LABELS


def find_all(subject: Subject) -> list[Finding]:
    """Everything that is looked for, found or not."""
    pictures = _pictures(subject)
    return [
        _patients_with_several_labels(subject.rows),
        _unknown_patients(subject.rows),
        _across_splits(subject.rows),
        _across_original_splits(pictures),
        _within_original_splits(pictures),
        _under_several_labels(subject, pictures),
        _near_duplicates(subject.rows),
        contradicting_headers(subject),
        burnt_in_text(subject),
    ]


def _pictures(subject: Subject) -> pd.DataFrame:
    """Every image whose pixels are known, kept or left out, with the `picture` that it shows.

    Near duplicates show one picture, and a copy shows that of its original.
    """
    columns = ["label", "source", "original_split", "pixel_hash", "cluster_id"]
    kept = subject.rows[columns].assign(kept=True)
    left_out = subject.rejected[subject.rejected["pixel_hash"] != ""][columns].assign(kept=False)
    both = pd.concat([kept, left_out], ignore_index=True) if len(left_out) else kept
    named = both[both["cluster_id"] != ""].drop_duplicates("pixel_hash").set_index("pixel_hash")["cluster_id"]
    cluster = both["pixel_hash"].map(named)
    return both.assign(picture=cluster.fillna(both["pixel_hash"]).astype(str))


def _patients_with_several_labels(rows: pd.DataFrame) -> Finding:
    known = rows[rows["patient_id"] != ""]
    labels = known.groupby("patient_id")["label"].nunique()
    several = labels[labels > 1].index
    images = int(known["patient_id"].isin(several).sum())
    return Finding(
        "patients_with_several_labels",
        "Patients with several labels",
        LOOK if len(several) else NONE,
        len(several),
        f"{len(several)} of {_number(len(labels), 'patient')} have images of several classes, "
        f"{_number(images, 'image')} in all: they fell ill or got well, or a label is wrong."
        if len(several)
        else f"each of {_number(len(labels), 'known patient')} has images of one class."
        if len(labels)
        else "no patient is known.",
    )


def _unknown_patients(rows: pd.DataFrame) -> Finding:
    unknown = int((rows["patient_id"] == "").sum())
    return Finding(
        "images_without_patient",
        "Images of unknown patients",
        LOOK if unknown else NONE,
        unknown,
        f"the patient is not known for {unknown} of {len(rows)} images: only copies and near duplicates are kept "
        "together, so one patient may be in two splits."
        if unknown
        else "the patient of every image is known.",
    )


def _across_splits(rows: pd.DataFrame) -> Finding:
    """Of our own splits, where there are some."""
    placed = rows[rows["split"] != ""]
    leaking = [
        int((placed[placed[column] != ""].groupby(column)["split"].nunique() > 1).sum())
        for column in ("cluster_id", "pixel_hash", "patient_id")
    ]
    found = (
        "there are no splits yet." if placed.empty else "no picture, near duplicate or known patient is in two splits."
    )
    return Finding(
        "across_splits",
        "The same in two splits",
        SERIOUS if sum(leaking) else NONE,
        sum(leaking),
        f"{leaking[0]} clusters of near duplicates, {leaking[1]} pictures and {leaking[2]} patients are in two splits: "
        "figures measured on this set are too good."
        if sum(leaking)
        else found,
    )


def _across_original_splits(pictures: pd.DataFrame) -> Finding:
    """Of the publisher's splits: ours are made anew, so it is a warning to whoever uses the published ones."""
    dealt = pictures[pictures["original_split"] != ""]
    splits = dealt.groupby("picture")["original_split"].agg(lambda names: " and ".join(sorted(set(names))))
    leaking = splits[dealt.groupby("picture")["original_split"].nunique() > 1]
    images = int(dealt["picture"].isin(leaking.index).sum())
    where = "; ".join(f"{count} in {names}" for names, count in leaking.value_counts().items())
    return Finding(
        "across_original_splits",
        "The same picture in two published splits",
        LOOK if len(leaking) else NONE,
        len(leaking),
        f"{_number(len(leaking), 'picture')} ({_number(images, 'image')}) can be found in two published splits: "
        f"{where}."
        if len(leaking)
        else "the source has no splits of its own."
        if dealt.empty
        else "no picture is in two of the published splits.",
    )


def _within_original_splits(pictures: pd.DataFrame) -> Finding:
    """Repeats, in each published split, else in the whole source."""
    names = pictures["original_split"].replace("", "the source")
    sizes = pictures.groupby([names, "picture"]).size()
    repeated = sizes[sizes > 1]
    extra = (repeated - 1).groupby(level=0).sum()
    where = "; ".join(
        f"{_number(repeated.xs(name).size, 'picture')} in {name}, {_number(count, 'image')} too many"
        for name, count in extra.items()
    )
    return Finding(
        "repeated",
        "Repeated pictures",
        LOOK if len(repeated) else NONE,
        int(extra.sum()),
        f"the same picture, or nearly the same, stands there more than once: {where}."
        if len(repeated)
        else "no picture stands there twice.",
    )


def _under_several_labels(subject: Subject, pictures: pd.DataFrame) -> Finding:
    """Contradictions that ingest left out are worth a look; those that are still in the set are serious."""
    by_picture = pictures.groupby("picture")
    several = by_picture["label"].nunique() > 1
    names = several[several].index
    shown = pictures[pictures["picture"].isin(names)]
    still = shown[shown["kept"]]["picture"].nunique()
    recorded = sum(
        count
        for reason, count in subject.rejected_counts.items()
        if reason in (UNDER_TWO_LABELS, NEARLY_UNDER_TWO_LABELS)
    )
    if names.empty and not recorded:
        return Finding(
            "pictures_under_several_labels", "One picture under several labels", NONE, 0, "no picture has two labels."
        )
    between = shown.groupby("picture")["label"].agg(lambda labels: " / ".join(sorted(set(labels))))
    pairs = "; ".join(f"{count} {labels}" for labels, count in between.value_counts().items())
    across = int((by_picture["source"].nunique()[names] > 1).sum())
    stated = f"{_number(len(names), 'picture')} under several labels ({pairs}), {across} of them in two sources"
    if names.empty:
        stated = f"{_number(recorded, 'image')} showed a picture under several labels"
    return Finding(
        "pictures_under_several_labels",
        "One picture under several labels",
        SERIOUS if still else LOOK,
        len(names) or recorded,
        f"{stated}; {'ingest left them out' if not still else f'{still} of them are still in the set'}.",
    )


def _near_duplicates(rows: pd.DataFrame) -> Finding:
    joined = rows[rows["cluster_id"] != ""]
    clusters = joined.groupby("cluster_id")["patient_id"].agg(_known)
    several = int((clusters > 1).sum())
    across = int((joined.groupby("cluster_id")["source"].agg(_known) > 1).sum())
    return Finding(
        "near_duplicates",
        "Near duplicates",
        LOOK if len(clusters) else NONE,
        len(clusters),
        f"{len(joined)} images form {_number(len(clusters), 'cluster')} of nearly the same picture, "
        f"{several} of them of several patients and {across} of several sources; each cluster stays in one split."
        if len(clusters)
        else "no two images are nearly the same picture.",
    )


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _known(values: Iterable[str]) -> int:
    return len(set(values) - {""})


def copies_left_out(subject: Subject) -> int:
    """Images that were copies of another one and are not in the set."""
    return subject.rejected_counts.get(COPY, 0)
