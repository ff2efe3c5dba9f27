"""COVID-19 Radiography Database: four class folders of PNG films of 299 pixels, masks beside them, one sheet a class.

    COVID-19_Radiography_Dataset/COVID/images/COVID-1.png      (COVID/masks/COVID-1.png is not read)
    COVID-19_Radiography_Dataset/COVID.metadata.xlsx           FILE NAME, FORMAT, SIZE, URL

Licence: the publisher states none; each film is its original author's, and the set is given for research, with
citation. Cite Chowdhury et al., IEEE Access 8, 2020, 132665 (10.1109/ACCESS.2020.3010287) and Rahman et al., Computers
in Biology and Medicine 132, 2021, 104319. To be had from Kaggle, with an account there.

Traps: the sheets name the collection that each film was taken from (column `site`), and the classes come from different
ones; the viral pneumonias are children's. Patients are not known. The sheet of the normal films spells their names
`NORMAL-1` where the file is `Normal-1.png`.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from secondread.data.sources.published import Layout, Listing, Publication
from secondread.data.sources.sheet import read_xlsx
from secondread.data.sources.tree import pictures

PUBLICATION = Publication(
    name="covid-radiography",
    title="COVID-19 Radiography Database",
    modality="cxr",
    license="not stated; research with citation",
    citation="Chowdhury et al., IEEE Access 8 (2020); Rahman et al., Comput. Biol. Med. 132 (2021)",
    page="https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database",
    kaggle="tawsifurrahman/covid19-radiography-database",
    size="about 0.8 GB",
    images=21_165,
)
CLASSES = {
    "COVID": "cxr-covid",
    "Lung_Opacity": "cxr-opacity",
    "Normal": "cxr-normal",
    "Viral Pneumonia": "cxr-viral-pneumonia",
}


def fits(folder: Path) -> bool:
    """Whether covid films lie where this set has them."""
    return (folder / "COVID" / "images").is_dir()


def read(root: Path) -> Listing:
    """Every film, with the collection it came from where the sheet says so."""
    listing = Listing()
    for name, label in CLASSES.items():
        sites = sites_by_name(root / f"{name}.metadata.xlsx")
        for path in pictures(root / name / "images"):
            listing.add(path, label, site=sites.get(path.stem.lower(), ""))
    return listing


def sites_by_name(sheet: Path) -> dict[str, str]:
    """Host and path of each film's origin, by the film's name in lower case; none where there is no sheet."""
    if not sheet.is_file():
        return {}
    return {row["FILE NAME"].lower(): _site(row["URL"]) for row in read_xlsx(sheet, ("FILE NAME", "URL"))}


def _site(url: str) -> str:
    """Without what names the single film: that could be told from no other."""
    parts = urlsplit(url)
    return (parts.netloc + parts.path).removeprefix("www.").rstrip("/") or url


LAYOUT = Layout(PUBLICATION, fits, read)
