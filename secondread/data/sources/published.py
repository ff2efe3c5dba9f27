"""A public dataset in the layout it is downloaded in, as a source. One file each says how its layout is read.

Patient ids of these sets are published, and made unique by the name of the set before them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from secondread.data.fingerprint import fingerprint_files
from secondread.data.pixels.decode import DEFAULT_LIMITS, DecodeLimits, read_bounded
from secondread.data.sources.names import readable_name, shown
from secondread.data.sources.source import SourceImage
from secondread.data.taxonomies import taxonomy_of
from secondread.errors import InputError
from secondread.logging import get_logger
from secondread.taxonomy import Taxonomy

log = get_logger(__name__)


@dataclass(frozen=True)
class Publication:
    """What a dataset is, who may use it, and where it comes from.

    Attributes:
        name: short name; `<name>:<path>` is its URI.
        title: as published; stands in the manifest's column `source`.
        modality: of every image.
        license: as its publisher states it; stands in the manifest where an image has none of its own.
        citation: what to cite.
        page: where it is described and had from.
        kaggle: `<owner>/<dataset>` there; empty where it is not there.
        repository: of git, that holds it; empty where there is none.
        size: of the download, about.
        images: how many the publisher counts.
    """

    name: str
    title: str
    modality: str
    license: str
    citation: str
    page: str
    kaggle: str = ""
    repository: str = ""
    size: str = ""
    images: int = 0


@dataclass(frozen=True)
class FoundImage:
    """One image of a layout: its file, class, and what else is known, by field of `SourceImage`."""

    path: Path
    label: str
    facts: Mapping[str, Any]


@dataclass
class Listing:
    """What a layout holds, gathered as it is read.

    Attributes:
        images: those to use.
        left_out: how many are not used, by the reason.
        notes: sentences about what was not taken as it stands.
    """

    images: list[FoundImage] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _examples: dict[str, str] = field(default_factory=dict)

    def add(self, path: Path, label: str, **facts: Any) -> None:
        """Use an image."""
        self.images.append(FoundImage(path, label, facts))

    def leave_out(self, reason: str, example: str) -> None:
        """Count an image that is not used."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1
        self._examples.setdefault(reason, readable_name(example))

    def sentences(self) -> list[str]:
        """One for each reason, and the notes."""
        told = [f"left out {n} {reason}, such as '{self._examples[reason]}'." for reason, n in self.left_out.items()]
        return told + self.notes


@dataclass(frozen=True)
class Layout:
    """How one dataset lies on disk.

    Attributes:
        publication: what it is.
        fits: whether a folder is the top of this layout; quick, and true of no other.
        read: lists what is in such a folder.
    """

    publication: Publication
    fits: Callable[[Path], bool]
    read: Callable[[Path], Listing]


class PublishedSource:
    """A folder in the layout of a public dataset. What is left out is said once, in the log, with counts.

    Args:
        layout: the dataset's.
        root: the top of its layout.
        uri: as the source is to be opened again.
        limits: a file with more bytes is not read.
    Raises:
        InputError: a table of it cannot be read, or there is no image.
    """

    public = True
    synthetic = False

    def __init__(self, layout: Layout, root: Path, *, uri: str = "", limits: DecodeLimits = DEFAULT_LIMITS) -> None:
        self.uri = uri or str(root)
        self.publication = layout.publication
        self._layout = layout
        self._root = root
        self._limits = limits
        if not self._listing.images:
            told = "".join(f" It {sentence}" for sentence in self._listing.sentences())
            raise InputError(
                f"{root} has the layout of {self.publication.title}, but no image in it. Download it again.{told}"
            )

    @cached_property
    def _listing(self) -> Listing:
        return self._layout.read(self._root)

    @property
    def left_out(self) -> Mapping[str, int]:
        """How many images are not used, by the reason."""
        return self._listing.left_out

    def taxonomy(self) -> Taxonomy:
        """The classes that have images; those of the seeds first, in their order."""
        return taxonomy_of((found.label for found in self._listing.images), modality=self.publication.modality)

    def images(self) -> Iterator[SourceImage]:
        """Every image, in the order of the layout."""
        for sentence in self._listing.sentences():
            log.warning("%s: %s", self.uri, shown(sentence))
        modality = {info.name: info.modality for info in self.taxonomy().classes}
        for found in self._listing.images:
            known: dict[str, Any] = {
                "modality": modality[found.label],
                "source": self.publication.title,
                "license": self.publication.license,
            }
            yield SourceImage(
                name=self._name(found),
                label=found.label,
                read=partial(read_bounded, found.path, self._limits),
                **(known | dict(found.facts)),
            )

    def fingerprint(self) -> str:
        """Over every image's name, bytes, label and facts."""
        files = fingerprint_files(self._root, (found.path for found in self._listing.images))
        rows = ([self._name(found), found.label, dict(found.facts)] for found in self._listing.images)
        text = json.dumps([files, *sorted(json.dumps(row, sort_keys=True) for row in rows)])
        return hashlib.sha256(text.encode()).hexdigest()

    def _name(self, found: FoundImage) -> str:
        return readable_name(found.path.relative_to(self._root))
