"""A MedMNIST `.npz`: arrays `<split>_images` and `<split>_labels`, uint8. Source: MedMNIST v2, Yang et al. 2023.

The published train, val and test are merged: this project splits by group itself.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from secondread.atomic import sha256_file
from secondread.data.sources.source import SourceImage
from secondread.data.taxonomies import taxonomy_of
from secondread.errors import InputError
from secondread.taxonomy import Taxonomy

# File name prefix -> (modality, class names in the order of the labels), as the paper's Table 3 has them.
KNOWN = {
    "pneumoniamnist": ("cxr", ("cxr-normal", "cxr-pneumonia")),
    "octmnist": ("oct", ("oct-cnv", "oct-dme", "oct-drusen", "oct-normal")),
}
LICENSE = "CC BY 4.0"


class MedMnistSource:
    """One MedMNIST file of single-label 2D images. Patients are not known.

    Args:
        path: the `.npz` file.
        modality: where the file's name is none of the known sets.
    Raises:
        InputError: it is no `.npz` of MedMNIST, has labels other than one integer an image, or colour images of
            another shape.
    """

    public = True
    synthetic = False

    def __init__(self, path: Path, *, modality: str = "") -> None:
        self.uri = str(path)
        self._path = path
        known = next((value for prefix, value in KNOWN.items() if path.name.startswith(prefix)), None)
        self._modality: str = known[0] if known else modality
        self._names: tuple[str, ...] | None = known[1] if known else None
        if not self._arrays:
            raise InputError(f"{path} holds no arrays '<split>_images' and '<split>_labels'. Is it of MedMNIST?")

    @cached_property
    def _arrays(self) -> dict[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
        """Images and labels by published split."""
        found = {}
        try:
            # opened here, since numpy leaves its own handle open when the file is no archive
            with self._path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
                for split in ("train", "val", "test"):
                    if f"{split}_images" in file and f"{split}_labels" in file:
                        found[split] = self._checked(file[f"{split}_images"], file[f"{split}_labels"], split)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{self._path} is no .npz file that can be read ({error}). Download it again.") from error
        return found

    def _checked(
        self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], split: str
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        grey_or_colour = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)
        if images.dtype != np.uint8 or not grey_or_colour or labels.size != len(images):
            raise InputError(
                f"{self._path}: {split} holds {images.dtype} {images.shape} images and {labels.shape} labels; expected "
                "uint8 (n, height, width[, 3]) and one label an image. Multi-label and 3D sets are not read."
            )
        return images, labels.reshape(-1).astype(np.int64)

    def _name(self, label: int) -> str:
        if self._names is None:
            return f"class-{label}"
        if not 0 <= label < len(self._names):
            raise InputError(f"{self._path}: label {label} is none of 0 to {len(self._names) - 1}. Is it this set?")
        return self._names[label]

    def taxonomy(self) -> Taxonomy:
        """The set's class names, where it is known; `class-<n>` otherwise."""
        labels = {int(label) for _, labels in self._arrays.values() for label in np.unique(labels)}
        return taxonomy_of((self._name(label) for label in labels), modality=self._modality)

    def images(self) -> Iterator[SourceImage]:
        """Every image as PNG bytes, by published split and position."""
        for split, (images, labels) in self._arrays.items():
            for position, (pixels, label) in enumerate(zip(images, labels, strict=True)):
                yield SourceImage(
                    name=f"{split}/{position:06d}.png",
                    label=self._name(int(label)),
                    read=partial(_png, pixels),
                    modality=self._modality,
                    source=f"MedMNIST {self._path.stem}",
                    license=LICENSE,
                )

    def fingerprint(self) -> str:
        """Over the file's bytes."""
        return sha256_file(self._path)


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
