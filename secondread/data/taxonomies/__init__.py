"""Taxonomies that come with the library, as JSON, and how they are found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib import resources

from secondread.taxonomy import MODALITIES, ClassInfo, Taxonomy


def seed_taxonomy() -> Taxonomy:
    """The nine seed classes: five of chest X-rays, four of retinal OCT scans."""
    document = resources.files(__name__).joinpath("seed.json").read_text(encoding="utf-8")
    return Taxonomy.from_dict(json.loads(document))


def taxonomy_of(labels: Iterable[str], *, modality: str = "", stated: Mapping[str, str] | None = None) -> Taxonomy:
    """A taxonomy for a set of class names.

    Args:
        labels: class names, repeats allowed.
        modality: for classes that the seed taxonomy does not know and whose name has no known prefix.
        stated: modality by class name, where the source itself says it; comes before all else.
    Returns:
        The seed classes among them, with their title and urgency, then the others by name. A name that starts with a
        modality (`cxr-`, `oct-`) is of that modality.
    """
    found = seed_taxonomy().restrict(labels)
    return Taxonomy(tuple(_completed(info, modality, (stated or {}).get(info.name, "")) for info in found.classes))


def _completed(info: ClassInfo, modality: str, stated: str) -> ClassInfo:
    prefix, _, rest = info.name.partition("-")
    own = stated or info.modality or (prefix if prefix in MODALITIES and rest else modality)
    return ClassInfo(info.name, info.title or info.name, own, info.urgency)
