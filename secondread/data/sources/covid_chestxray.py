"""ieee8023/covid-chestxray-dataset: films and scans from publications and websites, and one table.

    metadata.csv       patientid, sex, age, finding, view, modality, date, location, folder, filename, license, ...
    images/<filename>

Licence: each image its own, in the table (many CC BY-NC-SA; blank where it is not known). Cite Cohen et al.,
arXiv:2006.11988. To be had from GitHub.

Traps: computed tomography and lateral films lie among the frontal ones: both are left out and counted, as are findings
that are not known. Findings are a tree (`Pneumonia/Viral/COVID-19`); the first versions wrote `COVID-19`.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from secondread.data.sources.published import Layout, Listing, Publication
from secondread.data.sources.sheet import Row, read_csv
from secondread.data.sources.tree import pictures

PUBLICATION = Publication(
    name="covid-chestxray",
    title="ieee8023/covid-chestxray-dataset",
    modality="cxr",
    license="not stated",
    citation="Cohen et al., COVID-19 Image Data Collection, arXiv:2006.11988",
    page="https://github.com/ieee8023/covid-chestxray-dataset",
    repository="https://github.com/ieee8023/covid-chestxray-dataset",
    size="about 0.6 GB",
    images=930,
)
# What a finding ends or begins with -> our class; the first that fits. Any other is `cxr-` and its last part.
CLASSES = (
    (re.compile(r"(.*/)?COVID-19\b.*"), "cxr-covid"),
    (re.compile(r"No Finding"), "cxr-normal"),
    (re.compile(r"(.*/)?Tuberculosis"), "cxr-tuberculosis"),
    (re.compile(r"Pneumonia/Viral\b.*|SARS|MERS.*"), "cxr-viral-pneumonia"),
    (re.compile(r"Pneumonia/Bacterial\b.*|Streptococcus|Legionella|Klebsiella"), "cxr-bacterial-pneumonia"),
    (re.compile(r"Pneumonia/Fungal\b.*|Pneumocystis"), "cxr-fungal-pneumonia"),
    (re.compile(r"Pneumonia\b.*"), "cxr-pneumonia"),
)
NOT_KNOWN = frozenset({"", "todo", "unknown"})
FRONTAL = {"PA": "PA", "AP": "AP", "AP SUPINE": "AP supine", "APS": "AP supine", "AP ERECT": "AP erect"}

_COLUMNS = ("sex", "age", "finding", "view", "date", "location", "filename", "license")
_DATES = (("%Y", "%Y"), ("%B %d, %Y", "%Y-%m-%d"), ("%b %d, %Y", "%Y-%m-%d"), ("%Y-%m-%d", "%Y-%m-%d"))


def fits(folder: Path) -> bool:
    """Whether table and images are there, and the table is this one's."""
    table = folder / "metadata.csv"
    if not (table.is_file() and (folder / "images").is_dir()):
        return False
    with table.open(encoding="utf-8", errors="replace") as file:
        header = file.readline(10_000).lower()
    return all(column in header for column in ("patientid", "offset", "finding", "filename"))


def read(root: Path) -> Listing:
    """Every frontal film whose finding is known."""
    listing, files = Listing(), {path.name: path for path in pictures(root / "images")}
    for row in read_csv(root / "metadata.csv", _COLUMNS):
        name = row["filename"]
        reason = _reason(row) or ("" if name in files else "film(s) of the table that are not in the folder")
        if reason:
            listing.leave_out(reason, name or "a row without file name")
        else:
            listing.add(files[name], _label(row["finding"]), **_facts(row))
    return listing


def _reason(row: Row) -> str:
    """Why a row is left out; empty where it is not."""
    if row.get("modality", "X-ray") != "X-ray" or row["view"] in ("Axial", "Coronal", "CT"):
        return "scan(s) that are no X-ray film"
    if row["view"].upper() not in FRONTAL:
        return "film(s) that are not frontal"
    if row["finding"].lower() in NOT_KNOWN:
        return "film(s) whose finding is not known"
    return ""


def _label(finding: str) -> str:
    known = next((label for pattern, label in CLASSES if pattern.fullmatch(finding)), None)
    return known or "cxr-" + re.sub(r"[^a-z0-9]+", "-", finding.rsplit("/", 1)[-1].lower()).strip("-")


def _facts(row: Row) -> dict[str, str | float | None]:
    patient = row.get("patientid") or row.get("Patientid") or ""
    return {
        "patient_id": f"ieee8023-{patient}" if patient else "",
        "sex": row["sex"],
        "age": float(row["age"]) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]+)?", row["age"]) else None,
        "view": FRONTAL[row["view"].upper()],
        "acquired_at": _date(row["date"]),
        "site": row["location"],
        "license": row["license"] or PUBLICATION.license,
    }


def _date(text: str) -> str:
    """ISO 8601, a year alone where no more is said; empty for what is neither."""
    for given, iso in _DATES:
        try:
            return datetime.strptime(text, given).strftime(iso)
        except ValueError:
            continue
    return ""


LAYOUT = Layout(PUBLICATION, fits, read)
