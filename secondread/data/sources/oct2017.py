"""OCT2017, retinal scans: JPEG images in published splits and four classes, the patient in the name.

    OCT2017/train/CNV/CNV-1016042-1.jpeg          <class>-<patient>-<number>

Licence: CC BY 4.0. Cite Kermany et al., Cell 172, 2018, 1122 and Mendeley Data 10.17632/rscbjbr9sj. To be had from
Mendeley Data (OCT2017.tar.gz), or from Kaggle, with an account there.

Traps: the published test part shares patients with the training part, which alone can add 5 to 30 points of accuracy
(Tampu et al., Scientific Data 9, 2022, 580). Kaggle's folder is called `OCT2017 `, with a blank, and is there twice.
"""

from __future__ import annotations

import re
from pathlib import Path

from secondread.data.sources.published import Layout, Listing, Publication
from secondread.data.sources.tree import pictures

PUBLICATION = Publication(
    name="oct2017",
    title="OCT2017 (Kermany et al.)",
    modality="oct",
    license="CC BY 4.0",
    citation="Kermany et al., Cell 172 (2018) 1122; Mendeley Data 10.17632/rscbjbr9sj",
    page="https://data.mendeley.com/datasets/rscbjbr9sj/2",
    kaggle="paultimothymooney/kermany2018",
    size="about 5.8 GB from Mendeley Data (11 GB from Kaggle)",
    images=84_484,
)
CLASSES = {"CNV": "oct-cnv", "DME": "oct-dme", "DRUSEN": "oct-drusen", "NORMAL": "oct-normal"}
SPLITS = ("train", "val", "test")

_NAME = re.compile(r"(?:CNV|DME|DRUSEN|NORMAL)-(?P<patient>\d+)-\d+", re.IGNORECASE)


def fits(folder: Path) -> bool:
    """Whether a split with all four classes is there."""
    return any(all((folder / split / name).is_dir() for name in CLASSES) for split in SPLITS)


def read(root: Path) -> Listing:
    """Every scan with its patient."""
    listing = Listing()
    for split in SPLITS:
        for name, label in CLASSES.items():
            for path in pictures(root / split / name):
                match = _NAME.match(path.stem)
                if match:
                    listing.add(path, label, patient_id=f"kermanyoct-{match['patient']}", original_split=split)
                else:
                    listing.leave_out("scan(s) whose name tells no patient", f"{split}/{name}/{path.name}")
    return listing


LAYOUT = Layout(PUBLICATION, fits, read)
