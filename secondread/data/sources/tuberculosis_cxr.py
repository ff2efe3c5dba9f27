"""Tuberculosis (TB) Chest X-ray Database: two class folders of PNG films of 512 pixels, and one sheet a class.

    TB_Chest_Radiography_Database/Tuberculosis/Tuberculosis-1.png
    TB_Chest_Radiography_Database/Tuberculosis.metadata.xlsx       FILE NAME, FORMAT, SIZE, URL

Licence: the publisher states none; each film is its original author's, and the set is given for research, with
citation. Cite Rahman et al., IEEE Access 8, 2020, 191586 (10.1109/ACCESS.2020.3031384). To be had from Kaggle, with an
account there: 700 films with tuberculosis and 3,500 normal ones. 2,800 more are to be had from NIAID by agreement.

Traps: the classes come from different collections (column `site`). Patients are not known.
"""

from __future__ import annotations

from pathlib import Path

from secondread.data.sources.covid_radiography import sites_by_name
from secondread.data.sources.published import Layout, Listing, Publication
from secondread.data.sources.tree import pictures

PUBLICATION = Publication(
    name="tuberculosis-cxr",
    title="Tuberculosis (TB) Chest X-ray Database",
    modality="cxr",
    license="not stated; research with citation",
    citation="Rahman et al., IEEE Access 8 (2020) 191586",
    page="https://www.kaggle.com/datasets/tawsifurrahman/tuberculosis-tb-chest-xray-dataset",
    kaggle="tawsifurrahman/tuberculosis-tb-chest-xray-dataset",
    size="about 0.7 GB",
    images=4_200,
)
CLASSES = {"Normal": "cxr-normal", "Tuberculosis": "cxr-tuberculosis"}


def fits(folder: Path) -> bool:
    """Whether both classes and a sheet are there; two class folders alone could be anybody's."""
    folders = all((folder / name).is_dir() for name in CLASSES)
    return folders and any((folder / f"{name}.metadata.xlsx").is_file() for name in CLASSES)


def read(root: Path) -> Listing:
    """Every film, with the collection it came from where the sheet says so."""
    listing = Listing()
    for name, label in CLASSES.items():
        sites = sites_by_name(root / f"{name}.metadata.xlsx")
        for path in pictures(root / name):
            listing.add(path, label, site=sites.get(path.stem.lower(), ""))
    return listing


LAYOUT = Layout(PUBLICATION, fits, read)
