"""A folder of DICOM films: `<root>/<class>/...`, with the facts that `secondread.data.pixels.dicom_facts` lists.

Films outside any class folder are of the class `unlabelled`, so that they can be looked at and audited before anybody
has sorted them. A film whose header contradicts its set is left out, with the reason. Each frame of a file that has
several, such as a volume of the retina, is an image of its own, `scan.dcm#frame=12`, counted from 1, under the label of
the whole; they share their study, by which they stay together.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

from secondread.data.cleaning.header_checks import contradiction, header_modality
from secondread.data.fingerprint import fingerprint_files
from secondread.data.pixels.decode import DEFAULT_LIMITS, DecodeLimits, decode_frame_as_png, read_bounded
from secondread.data.pixels.dicom_facts import DicomFacts, dicom_facts
from secondread.data.sources.folder_scan import FolderScan, is_dicom, scan_folder
from secondread.data.sources.names import readable_name, shown
from secondread.data.sources.source import SourceImage
from secondread.data.sources.tree import PICTURE_SUFFIXES
from secondread.data.taxonomies import taxonomy_of
from secondread.errors import ImageError, InputError, TooLargeError
from secondread.logging import get_logger
from secondread.taxonomy import Taxonomy

UNLABELLED = "unlabelled"
SOURCE = "DICOM"

_VOLUME_TIMES = 8  # a file of several frames may have so many times the bytes of one film
_FRAME_BYTES = 64  # that a frame takes at least, however it is encoded: a header may name any number of them

log = get_logger(__name__)


def holds_dicom_alone(root: Path) -> bool:
    """Whether a folder holds DICOM files at any depth, and no JPEG or PNG; stops at the first of those."""
    found = False
    for top, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if Path(name).suffix.lower() in PICTURE_SUFFIXES:
                return False
            found = found or (not name.startswith(".") and is_dicom(Path(top, name)))
    return found


class DicomFolderSource:
    """A folder of DICOM films.

    Args:
        root: the folder.
        modality: of films whose header does not say.
        public_ids: the ids in the headers are made up or published, so that they need no hashing.
        limits: a file with more bytes is not read.
    Raises:
        InputError: the folder cannot be listed, or holds no DICOM file.
    """

    synthetic = False

    def __init__(
        self, root: Path, *, modality: str = "", public_ids: bool = False, limits: DecodeLimits = DEFAULT_LIMITS
    ) -> None:
        self.uri = str(root)
        self.public = public_ids
        self._root = root
        self._modality = modality
        self._limits = limits
        if not self._films:
            raise InputError(f"{root} holds no DICOM file. Name another folder.")

    @cached_property
    def _scan(self) -> FolderScan:
        return scan_folder(self._root)

    @cached_property
    def _films(self) -> list[tuple[Path, str]]:
        """Each film and its class; pictures of other kinds are left out."""
        loose = sorted(path for path in self._root.iterdir() if not path.name.startswith(".") and is_dicom(path))
        inner = [(path, label) for label, paths in self._scan.classes.items() for path in paths if is_dicom(path)]
        return inner + [(path, UNLABELLED) for path in loose]

    @cached_property
    def _facts(self) -> list[DicomFacts]:
        volume = replace(self._limits, max_bytes=_VOLUME_TIMES * self._limits.max_bytes)
        return [_facts(path, volume) for path, _ in self._films]

    def taxonomy(self) -> Taxonomy:
        """One class a folder: of the modality that its name or the user states, else of what most of its films are."""
        labels = [label for _, label in self._films]
        named = {info.name: info.modality for info in taxonomy_of(labels, modality=self._modality).classes}
        seen = {label: Counter[str]() for label in named}
        for label, facts in zip(labels, self._facts, strict=True):
            seen[label][header_modality(facts)] += 1
        stated = {label: named[label] or _commonest(counts) for label, counts in seen.items()}
        return taxonomy_of(labels, stated=stated)

    def _of_file(self, path: Path, label: str, facts: DicomFacts, modality: str) -> Iterator[SourceImage]:
        name = readable_name(path.relative_to(self._root))
        image = SourceImage(
            name=name,
            label=label,
            read=partial(read_bounded, path, self._limits),
            source=SOURCE,
            modality=modality,
            patient_id=facts.patient_id,
            study_id=facts.study_id,
            sex=facts.sex,
            age=facts.age,
            view=facts.view,
            body_part=facts.body_part,
            laterality=facts.laterality,
            burnt_in=facts.burnt_in,
            unfit=contradiction(facts, modality),
        )
        if facts.frames == 1:
            yield image
            return
        if facts.frames * _FRAME_BYTES > path.stat().st_size:
            yield replace(image, unfit=f"has no room for the {facts.frames} frames that its header names.")
            return
        limits = replace(self._limits, max_bytes=_VOLUME_TIMES * self._limits.max_bytes)
        together = facts.study_id or facts.instance_id or name
        for frame in range(facts.frames):
            read = partial(_read_frame, path, frame, limits)
            yield replace(image, name=f"{name}#frame={frame + 1}", read=read, study_id=together)

    def images(self) -> Iterator[SourceImage]:
        """Every film, by class and name, those without a class last."""
        unlabelled = sum(label == UNLABELLED for _, label in self._films)
        # what the scan says of loose files is told here in other words, since these are read
        for sentence in (text for text in self._scan.left_out if "outside any class" not in text):
            log.warning("%s: %s", self.uri, shown(sentence))
        if unlabelled:
            log.warning("%s: %d film(s) lie in no class folder: they are '%s'.", self.uri, unlabelled, UNLABELLED)
        modality = {info.name: info.modality for info in self.taxonomy().classes}
        for (path, label), facts in zip(self._films, self._facts, strict=True):
            yield from self._of_file(path, label, facts, modality[label])

    def fingerprint(self) -> str:
        """Over every film's name, class folder included, and bytes."""
        return fingerprint_files(self._root, (path for path, _ in self._films))


def _facts(path: Path, limits: DecodeLimits) -> DicomFacts:
    """What a header says; nothing where it cannot be read, which decoding will say."""
    try:
        if path.stat().st_size > limits.max_bytes:
            return DicomFacts()
        with path.open("rb") as file:
            return dicom_facts(file, max_bytes=limits.max_bytes)
    except (ImageError, TooLargeError, OSError):
        return DicomFacts()


def _read_frame(path: Path, frame: int, limits: DecodeLimits) -> bytes:
    return decode_frame_as_png(read_bounded(path, limits), frame, limits=limits)


def _commonest(modalities: Counter[str]) -> str:
    """Of those that are known; the first by name of two that are as common."""
    return min((name for name in modalities if name), key=lambda name: (-modalities[name], name), default="")
