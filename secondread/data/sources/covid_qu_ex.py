"""COVID-QU-Ex: films of 256 pixels in three splits and three classes, with lung masks beside them.

    Lung Segmentation Data/Lung Segmentation Data/Train/COVID-19/images/covid_1.png      (lung masks/ is not read)
    Infection Segmentation Data/Infection Segmentation Data/Train/...                    a subset of the same films

Licence: CC BY-SA 4.0, as Kaggle states it. Cite Tahir et al., Computers in Biology and Medicine 139, 2021, 105002. To
be had from Kaggle, with an account there.

Traps: the infection data repeat films of the lung data, so they are read only where the lung data are not there. Films
of BIMCV-COVID19+ keep patient, session and view in their names (`sub-S09345_ses-E18242_run-1_bp-chest_vp-ap_cr.png`);
of the others the patient is not known. The classes come from different collections.
"""

from __future__ import annotations

import re
from pathlib import Path

from secondread.data.sources.published import Layout, Listing, Publication
from secondread.data.sources.tree import pictures

PUBLICATION = Publication(
    name="covid-qu-ex",
    title="COVID-QU-Ex",
    modality="cxr",
    license="CC BY-SA 4.0",
    citation="Tahir et al., Comput. Biol. Med. 139 (2021) 105002",
    page="https://www.kaggle.com/datasets/anasmohammedtahir/covidqu",
    kaggle="anasmohammedtahir/covidqu",
    size="about 1.2 GB",
    images=33_920,
)
CLASSES = {"COVID-19": "cxr-covid", "Non-COVID": "cxr-pneumonia", "Normal": "cxr-normal"}
SPLITS = {"Train": "train", "Val": "val", "Test": "test"}

_LUNG = Path("Lung Segmentation Data")
_INFECTION = Path("Infection Segmentation Data")
# Kaggle's archive has each folder in one of the same name
_PLACES = (_LUNG / _LUNG, _LUNG, _INFECTION / _INFECTION, _INFECTION, Path())
_BIDS = re.compile(r"sub-(?P<patient>[A-Za-z0-9]+)_ses-(?P<study>[A-Za-z0-9]+)_.*?vp-(?P<view>[a-z]+)")


def fits(folder: Path) -> bool:
    """Whether a split of one of the two parts is there."""
    return _place(folder) is not None


def read(root: Path) -> Listing:
    """Every film of the lung data, or of the infection data where those are not there."""
    listing = Listing()
    place = _place(root) or root
    for folder, split in SPLITS.items():
        for name, label in CLASSES.items():
            for path in pictures(place / folder / name / "images"):
                listing.add(path, label, original_split=split, **_facts(path.name))
    return listing


def _place(folder: Path) -> Path | None:
    inside = (folder / place for place in _PLACES)
    return next((p for p in inside if any((p / split / "COVID-19" / "images").is_dir() for split in SPLITS)), None)


def _facts(name: str) -> dict[str, str]:
    match = _BIDS.match(name)
    if not match:
        return {}
    return {
        "patient_id": f"bimcv-{match['patient']}",
        "study_id": f"bimcv-{match['study']}",
        "view": match["view"].upper(),
        "site": "bimcv",
    }


LAYOUT = Layout(PUBLICATION, fits, read)
