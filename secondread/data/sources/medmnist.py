"""A MedMNIST `.npz`: arrays `<split>_images` and `<split>_labels`, uint8. Source: MedMNIST v2, Yang et al. 2023.

The published train, val and test are merged: this project splits by group itself. Of ChestMNIST, whose images have any
number of findings, those with several belong to no single class: they are left out and counted.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.npyio import NpzFile
from PIL import Image

from secondread.atomic import sha256_file
from secondread.data import taxonomies
from secondread.data.sources.source import SourceImage
from secondread.data.taxonomies import taxonomy_of
from secondread.errors import InputError
from secondread.logging import get_logger
from secondread.taxonomy import Taxonomy

LICENSE = "CC BY 4.0"  # of all sets but one, whose own is in the list
NO_FINDING = "cxr-normal"  # an image of ChestMNIST without any of its findings
SEVERAL = -1  # stands for the label of an image with several findings

_LAST_LABEL = 255  # MedMNIST stores labels as uint8; its largest set has 11 classes
log = get_logger(__name__)

# what numpy and zipfile raise for damage, encryption (RuntimeError), pickles (ValueError) and sizes that are made up
_UNREADABLE = (ValueError, OSError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class MedMnistSet:
    """One set as its publisher describes it.

    Attributes:
        modality: of all its images.
        license: of all its images.
        classes: names in the order of the labels, as the paper's Table 3 has them; ours where they mean the same.
        several_findings: an image may have any number of these.
        md5: of the file, hex, by the side of its images in pixels.
    """

    modality: str
    license: str
    classes: tuple[str, ...]
    several_findings: bool
    md5: dict[str, str]


class MedMnistSource:
    """One MedMNIST file of 2D images. Patients are not known.

    Args:
        path: the `.npz` file.
        modality: where the file's name is none of the known sets.
    Raises:
        InputError: it is no `.npz` of MedMNIST, holds pickled objects, has images that are no uint8, or labels that
            are not one known class an image.
    """

    public = True
    synthetic = False

    def __init__(self, path: Path, *, modality: str = "") -> None:
        self.uri = str(path)
        self._path = path
        known = next((value for prefix, value in known_sets().items() if path.name.startswith(prefix)), None)
        self._modality = known.modality if known else modality
        self._license = known.license if known else LICENSE
        self._names = known.classes if known else None
        self._several_findings = known is not None and known.several_findings
        if not self._arrays:
            raise InputError(f"{path} holds no arrays '<split>_images' and '<split>_labels'. Is it of MedMNIST?")

    @cached_property
    def _arrays(self) -> dict[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
        """Images and labels by published split."""
        try:
            # opened here, since numpy leaves its own handle open when the file is no archive
            with self._path.open("rb") as handle:
                file = np.load(handle, allow_pickle=False)  # a pickle could run code
                if not isinstance(file, NpzFile):
                    raise InputError(f"{self._path} is a single array, no .npz archive. Is it of MedMNIST?")
                with file:
                    return {split: self._split(file, split) for split in _splits(file)}
        except _UNREADABLE as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{self._path} is no .npz file that can be read ({reason}). Download it again.") from error

    def _split(self, file: NpzFile, split: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        missing = next((name for name in (f"{split}_images", f"{split}_labels") if name not in file), None)
        if missing:
            raise InputError(f"{self._path} has no array '{missing}', only its counterpart. Download it again.")
        # as arrays, since numpy gives a member that is none as its bytes
        images, labels = np.asarray(file[f"{split}_images"]), np.asarray(file[f"{split}_labels"])
        grey_or_colour = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)
        if self._several_findings and labels.shape == (*images.shape[:1], len(self._names or ())):
            labels = _single_findings(labels)
        one_label_each = labels.shape in (images.shape[:1], (*images.shape[:1], 1))
        if images.dtype != np.uint8 or not images.size or not grey_or_colour or not one_label_each:
            raise InputError(
                f"{self._path}: {split} holds {images.dtype} {images.shape} images and {labels.shape} labels; expected "
                "uint8 (n, height, width[, 3]) and one label an image. Multi-label and 3D sets are not read."
            )
        self._check_labels(labels, split)
        return images, labels.reshape(-1).astype(np.int64)

    def _check_labels(self, labels: npt.NDArray[Any], split: str) -> None:
        if labels.dtype.kind not in "iu":
            raise InputError(f"{self._path}: {split}_labels are {labels.dtype}, no whole numbers. Download it again.")
        last = len(self._names) - 1 + self._several_findings if self._names else _LAST_LABEL
        outside = labels[(labels < -int(self._several_findings)) | (labels > last)].tolist()
        if outside:
            raise InputError(f"{self._path}: {split}_labels has {outside[0]}, none of 0 to {last}. Is it this set?")

    def _name(self, label: int) -> str:
        if self._names is None:
            return f"class-{label}"
        return self._names[label] if label < len(self._names) else NO_FINDING

    def taxonomy(self) -> Taxonomy:
        """The set's class names, where it is known; `class-<n>` otherwise."""
        labels = {int(label) for _, labels in self._arrays.values() for label in np.unique(labels)}
        return taxonomy_of((self._name(label) for label in labels - {SEVERAL}), modality=self._modality)

    def images(self) -> Iterator[SourceImage]:
        """Every image as PNG bytes, by published split and position."""
        several = sum(int((labels == SEVERAL).sum()) for _, labels in self._arrays.values())
        if several:
            log.warning("%s: left out %d image(s) with several findings.", self.uri, several)
        for split, (images, labels) in self._arrays.items():
            for position, (pixels, label) in enumerate(zip(images, labels, strict=True)):
                if label == SEVERAL:
                    continue
                yield SourceImage(
                    name=f"{split}/{position:06d}.png",
                    label=self._name(int(label)),
                    read=partial(_png, pixels),
                    modality=self._modality,
                    source=f"MedMNIST {self._path.stem}",
                    license=self._license,
                    original_split=split,
                )

    def fingerprint(self) -> str:
        """Over the file's bytes."""
        return sha256_file(self._path)


@cache
def known_sets() -> dict[str, MedMnistSet]:
    """Every 2D set of MedMNIST v2, by the beginning of its file's name."""
    document = resources.files(taxonomies).joinpath("medmnist.json").read_text(encoding="utf-8")
    return {
        name: MedMnistSet(**facts | {"classes": tuple(facts["classes"])})
        for name, facts in json.loads(document).items()
    }


def _single_findings(findings: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """One label an image: its finding, the number of findings where it has none, `SEVERAL` where it has more.

    Args:
        findings: 0 or 1, (images, findings); anything else comes out as a label that no set has.
    """
    if not np.isin(findings, (0, 1)).all():
        return np.full(len(findings), _LAST_LABEL)
    counts = findings.sum(axis=1)
    return np.select([counts == 1, counts == 0], [findings.argmax(axis=1), findings.shape[1]], SEVERAL)


def _splits(file: NpzFile) -> list[str]:
    return [split for split in ("train", "val", "test") if f"{split}_images" in file or f"{split}_labels" in file]


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
