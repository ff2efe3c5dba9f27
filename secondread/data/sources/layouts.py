"""Every public dataset whose layout is read, and how a folder is recognised as one of them."""

from __future__ import annotations

from pathlib import Path

from secondread.data.sources import (
    bone_fracture,
    chest_xray_pneumonia,
    covid_chestxray,
    covid_qu_ex,
    covid_radiography,
    nih_cxr14,
    oct2017,
    tuberculosis_cxr,
)
from secondread.data.sources.published import Layout
from secondread.data.sources.tree import likely_tops
from secondread.errors import InputError

_MODULES = (
    *(covid_radiography, covid_qu_ex, tuberculosis_cxr, chest_xray_pneumonia),
    *(oct2017, nih_cxr14, covid_chestxray, bone_fracture),
)
LAYOUTS: dict[str, Layout] = {module.PUBLICATION.name: module.LAYOUT for module in _MODULES}


def top_of(layout: Layout, root: Path) -> Path:
    """Where a layout begins, in a folder or in one that wraps it.

    Raises:
        InputError: nowhere.
    """
    top = next((folder for folder in likely_tops(root) if layout.fits(folder)), None)
    if top is None:
        raise InputError(
            f"{root} has not the layout of {layout.publication.title}. Give the folder or archive as downloaded from "
            f"{layout.publication.page}."
        )
    return top


def recognised(root: Path) -> tuple[Layout, Path] | None:
    """The layout that a folder has, and where it begins; None where it has none.

    Raises:
        InputError: it has several, so that somebody must say which.
    """
    tops = likely_tops(root)
    found = {}
    for layout in LAYOUTS.values():
        top = next((folder for folder in tops if layout.fits(folder)), None)
        if top is not None:
            found[layout.publication.name] = (layout, top)
    if len(found) > 1:
        names = ", ".join(f"{name}:{top}" for name, (_, top) in found.items())
        raise InputError(f"{root} holds several datasets. Name one ({names}), or merge them by a YAML file.")
    return next(iter(found.values()), None)
