"""NIH ChestX-ray14: PNG films of 1024 pixels in twelve folders, and one table with finding, patient, age, sex and view.

    Data_Entry_2017_v2020.csv (or Data_Entry_2017.csv)   Image Index, Finding Labels, Follow-up #, Patient ID, ...
    images_001/images/00000001_000.png ...               or images/00000001_000.png
    train_val_list.txt, test_list.txt                    the published split, by patient

Licence: no restriction on use; NIH asks for attribution to the Clinical Center, a link, and the citation of Wang et
al., CVPR 2017. To be had from https://nihcc.app.box.com/v/ChestXray-NIHCC, or from Kaggle, with an account there.

Traps: labels are mined from reports, and about one in ten is wrong. A film with several findings belongs to no single
class: it is left out and counted. Ages above 120 in the first table are slips, taken as not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from secondread.data.sources.published import Layout, Listing, Publication
from secondread.data.sources.sheet import Row, read_csv
from secondread.data.sources.tree import pictures, subfolders
from secondread.errors import InputError

PUBLICATION = Publication(
    name="nih-cxr14",
    title="NIH ChestX-ray14",
    modality="cxr",
    license="free with attribution to the NIH Clinical Center",
    citation="Wang et al., ChestX-ray8, CVPR 2017",
    page="https://nihcc.app.box.com/v/ChestXray-NIHCC",
    kaggle="nih-chest-xrays/data",
    size="about 42 GB",
    images=112_120,
)
# Finding -> our class; any other is `cxr-` and its name
CLASSES = {"No Finding": "cxr-normal"}
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
OLDEST = 120  # years

_COLUMNS = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "View Position")
_AGE = re.compile(r"(\d+)([YMD]?)")  # the first version of the table writes 058Y
_YEARS = {"": 1.0, "Y": 1.0, "M": 1 / 12, "D": 1 / 365.25}


def fits(folder: Path) -> bool:
    """Whether the table is there."""
    return _table(folder) is not None


def read(root: Path) -> Listing:
    """Every film that is there and has one finding."""
    table = _table(root)
    if table is None:
        raise InputError(f"{root} has none of {', '.join(TABLES)}. Download it beside the images.")
    listing, files, split, ages = Listing(), _files(root), _published_split(root), 0
    for row in read_csv(table, _COLUMNS):
        name, findings = row["Image Index"], row["Finding Labels"].split("|")
        age = _age(row["Patient Age"])
        ages += age is None
        if len(findings) > 1:
            listing.leave_out("film(s) with several findings", f"{name} ({row['Finding Labels']})")
        elif name not in files:
            listing.leave_out("film(s) of the table that are not in the folder", name)
        else:
            listing.add(files[name], _label(findings[0]), **_facts(row, age), original_split=split.get(name, ""))
    if ages:
        listing.notes.append(f"{ages} age(s) of its table are above {OLDEST} years, or none: taken as not known.")
    return listing


def _table(folder: Path) -> Path | None:
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


def _files(root: Path) -> Mapping[str, Path]:
    """Every film by its name, which no two have in common."""
    folders = [root, *(inner for outer in subfolders(root) for inner in (outer, outer / "images"))]
    return {path.name: path for folder in folders for path in pictures(folder)}


def _published_split(root: Path) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, split in LISTS.items():
        path = root / name
        if path.is_file():
            found |= dict.fromkeys(path.read_text(encoding="utf-8", errors="replace").split(), split)
    return found


def _label(finding: str) -> str:
    return CLASSES.get(finding) or "cxr-" + finding.strip().lower().replace("_", "-").replace(" ", "-")


def _facts(row: Row, age: float | None) -> dict[str, str | float | None]:
    patient = f"nih-{row['Patient ID']}"
    sex = row.get("Patient Gender") or row.get("Patient Sex") or ""
    study = f"{patient}-{row['Follow-up #']}"
    return {"patient_id": patient, "study_id": study, "sex": sex, "age": age, "view": row["View Position"]}


def _age(text: str) -> float | None:
    match = _AGE.fullmatch(text)
    years = int(match[1]) * _YEARS[match[2]] if match else OLDEST + 1.0
    return years if years <= OLDEST else None


LAYOUT = Layout(PUBLICATION, fits, read)
