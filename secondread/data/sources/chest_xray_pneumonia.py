"""Chest X-Ray Images (Pneumonia), of children: JPEG films in published splits, the patient in the name.

    chest_xray/train/NORMAL/IM-0115-0001.jpeg, NORMAL2-IM-0381-0001.jpeg
    chest_xray/train/PNEUMONIA/person1_bacteria_1.jpeg, person10_virus_35.jpeg
    chest_xray/train/PNEUMONIA/BACTERIA-1008087-0001.jpeg          as the later version on Mendeley Data names them

Licence: CC BY 4.0. Cite Kermany et al., Cell 172, 2018, 1122 and Mendeley Data 10.17632/rscbjbr9sj. To be had from
Kaggle, with an account there, or from Mendeley Data.

Traps: the archive on Kaggle has the whole set twice (`chest_xray/chest_xray`), which is read once. A patient has up to
30 films, and some have bacterial as well as viral ones. Numbers start again in the published test part, so that one
number may stand for two children; they are kept as one, which errs on the side that lets nobody into two splits.
"""

from __future__ import annotations

import re
from pathlib import Path

from secondread.data.sources.published import Layout, Listing, Publication
from secondread.data.sources.tree import pictures

PUBLICATION = Publication(
    name="chest-xray-pneumonia",
    title="Chest X-Ray Images (Pneumonia)",
    modality="cxr",
    license="CC BY 4.0",
    citation="Kermany et al., Cell 172 (2018) 1122; Mendeley Data 10.17632/rscbjbr9sj",
    page="https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia",
    kaggle="paultimothymooney/chest-xray-pneumonia",
    size="about 1.2 GB (2.3 GB extracted)",
    images=5_856,
)
SPLITS = ("train", "val", "test")
# Kind in the name -> our class
KINDS = {"bacteria": "cxr-bacterial-pneumonia", "virus": "cxr-viral-pneumonia"}
NORMAL = "cxr-normal"

_PNEUMONIA = re.compile(r"(?P<patient>person\d+)_(?P<kind>bacteria|virus)_\d+", re.IGNORECASE)
_NORMAL = re.compile(r"(?P<patient>(?:NORMAL2-)?IM-\d+)-\d+", re.IGNORECASE)
_LATER = re.compile(r"(?P<kind>BACTERIA|VIRUS|NORMAL)-(?P<patient>\d+)-\d+", re.IGNORECASE)


def fits(folder: Path) -> bool:
    """Whether a split with both classes is there."""
    return any(all((folder / split / name).is_dir() for name in ("NORMAL", "PNEUMONIA")) for split in SPLITS)


def read(root: Path) -> Listing:
    """Every film, pneumonia by its kind."""
    listing = Listing()
    for split in SPLITS:
        for name in ("NORMAL", "PNEUMONIA"):
            for path in pictures(root / split / name):
                _add(listing, path, name, split)
    return listing


def _add(listing: Listing, path: Path, folder: str, split: str) -> None:
    match = _LATER.match(path.stem) or (_NORMAL if folder == "NORMAL" else _PNEUMONIA).match(path.stem)
    label = NORMAL if folder == "NORMAL" else KINDS.get(match["kind"].lower() if match else "")
    if match is None or label is None:
        listing.leave_out("film(s) whose name tells neither patient nor kind", f"{split}/{folder}/{path.name}")
        return
    # all are anteroposterior films of children of one to five years, as the paper says
    listing.add(path, label, patient_id=f"kermany-{match['patient']}", original_split=split, view="AP")


LAYOUT = Layout(PUBLICATION, fits, read)
