"""A folder of DICOM films: `<root>/<class>/...`, with patient, sex, age, view and modality from each header.

Films outside any class folder are of the class `unlabelled`, so that they can be looked at and audited before anybody
has sorted them. Only facts of a fixed list are read from a header, and no date: ids leave ingest only hashed.

DICOM PS3.3: C.7.1.1 patient, C.7.2.2 patient study, C.7.3.1 series, C.8.11.1 view. PS3.5, 6.2: age strings.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from secondread.data.decode import DEFAULT_LIMITS, DecodeLimits, read_bounded
from secondread.data.fingerprint import fingerprint_files
from secondread.data.sources.folder_scan import FolderScan, is_dicom, scan_folder
from secondread.data.sources.names import readable_name
from secondread.data.sources.source import SourceImage
from secondread.data.sources.tree import PICTURE_SUFFIXES
from secondread.data.taxonomies import taxonomy_of
from secondread.errors import InputError
from secondread.logging import get_logger
from secondread.taxonomy import Taxonomy

UNLABELLED = "unlabelled"
SOURCE = "DICOM"

_TAGS = (
    *("PatientID", "StudyInstanceUID", "PatientSex", "PatientAge", "ViewPosition", "Modality", "BodyPartExamined"),
    "SpecificCharacterSet",
)
# Modality of the header -> ours, where the body part fits
_MODALITIES = {"CR": "cxr", "DX": "cxr", "RG": "cxr", "OPT": "oct"}
_CHEST = frozenset({"", "CHEST", "THORAX", "LUNG"})
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_AGE = re.compile(r"(\d{1,3})([YMWD])")

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
    def _images(self) -> list[SourceImage]:
        return [self._image(path, label) for path, label in self._films]

    def _image(self, path: Path, label: str) -> SourceImage:
        name = readable_name(path.relative_to(self._root))
        read = partial(read_bounded, path, self._limits)
        facts = {"modality": self._modality} | {key: value for key, value in _facts(path).items() if value}
        return SourceImage(name=name, label=label, read=read, source=SOURCE, **facts)

    def taxonomy(self) -> Taxonomy:
        """One class a folder, of the modality that most of its films have."""
        seen: dict[str, Counter[str]] = defaultdict(Counter)
        for image in self._images:
            seen[image.label][image.modality] += 1
        return taxonomy_of(seen, stated={label: counts.most_common(1)[0][0] for label, counts in seen.items()})

    def images(self) -> Iterator[SourceImage]:
        """Every film, by class and name, those without a class last."""
        unlabelled = sum(label == UNLABELLED for _, label in self._films)
        # what the scan says of loose files is told here in other words, since these are read
        for sentence in (text for text in self._scan.left_out if "outside any class" not in text):
            log.warning("%s: %s", self.uri, sentence)
        if unlabelled:
            log.warning("%s: %d film(s) lie in no class folder: they are '%s'.", self.uri, unlabelled, UNLABELLED)
        yield from self._images

    def fingerprint(self) -> str:
        """Over every film's name, class folder included, and bytes."""
        return fingerprint_files(self._root, (path for path, _ in self._films))


def _facts(path: Path) -> dict[str, Any]:
    """What a header says, by field of `SourceImage`; nothing where it cannot be read, which decoding will say."""
    import pydicom  # a quarter of a second, which other sources need not pay

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # its warnings quote values
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
        text = {tag: str(header.get(tag) or "").strip() for tag in _TAGS}
    except Exception:  # noqa: BLE001 - pydicom's errors share no base class, and damaged bytes raise Python's own too
        return {}
    return {
        "patient_id": text["PatientID"],
        "study_id": text["StudyInstanceUID"],
        "sex": text["PatientSex"] if text["PatientSex"] in ("M", "F", "O") else "",
        "age": _age(text["PatientAge"]),
        "view": text["ViewPosition"],
        "modality": _modality(text["Modality"], text["BodyPartExamined"].upper()),
    }


def _modality(modality: str, body_part: str) -> str:
    """Ours; a film of another body part is of no known modality but its own, such as `dx-pelvis`."""
    if modality in ("CR", "DX", "RG") and body_part not in _CHEST:
        return f"{modality}-{body_part}".lower().replace(" ", "-")
    return _MODALITIES.get(modality, modality.lower())


def _age(text: str) -> float | None:
    """Years, from `045Y`, `006M`, `012W` or `030D`."""
    match = _AGE.fullmatch(text)
    return int(match[1]) * _YEARS[match[2]] if match else None
