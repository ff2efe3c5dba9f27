"""A dataset version on disk: what a model is trained and judged on. Named by the hash of its content.

dataset.json          taxonomy, size, preprocessing, counts, content hash, parent
manifest.parquet      one row an image; a split's rows in the order of its pixels
images-<split>.npy    uint8 (images, size, size), memory-mapped when read
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.atomic import read_json
from secondread.data.manifest import MANIFEST_FILE, SPLITS, read_manifest
from secondread.data.pixels.preprocess import Preprocessing
from secondread.data.versions.shards import shard_file
from secondread.data.versions.split import check_disjoint
from secondread.errors import IntegrityError
from secondread.taxonomy import Taxonomy

DATASET_FILE = "dataset.json"


@dataclass(frozen=True)
class SplitData:
    """One split.

    Attributes:
        images: uint8 (images, 1, size, size), a read-only memory map.
        labels: int64 (images,), positions in the taxonomy.
        rows: manifest rows in the same order.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    rows: pd.DataFrame


@dataclass(frozen=True)
class DatasetVersion:
    """A dataset version that was opened.

    Attributes:
        root: the folder.
        taxonomy: classes in order.
        preprocessing: how the pixels came about.
        content_hash: SHA-256, hex, of labels, groups, splits and pixels; the same whatever the patient key.
        counts: images by split and class.
        synthetic: the images are generated.
        parent: content hash of the version it grew from; empty if none.
        patient_key: fingerprint of the key that its patient ids are hashed with; empty if none is.
    """

    root: Path
    taxonomy: Taxonomy
    preprocessing: Preprocessing
    content_hash: str
    counts: Mapping[str, Mapping[str, int]]
    synthetic: bool
    parent: str = ""
    patient_key: str = ""

    @property
    def image_size(self) -> int:
        """Pixels of both sides."""
        return self.preprocessing.size

    @property
    def name(self) -> str:
        """The content hash, shortened to be read by people."""
        return self.content_hash[:12]

    @classmethod
    def open(cls, path: Path | str) -> DatasetVersion:
        """Open a dataset version, and check that no group is in two splits.

        Raises:
            IntegrityError: it is none, is incomplete, or has a group in two splits.
        """
        root = Path(path)
        if not (root / DATASET_FILE).is_file():
            raise IntegrityError(
                f"{root} is no dataset version: it has no {DATASET_FILE}. Run preprocess, or name its output."
            )
        document = read_json(root / DATASET_FILE)
        try:
            version = cls(
                root=root,
                taxonomy=Taxonomy.from_dict(document["taxonomy"]),
                preprocessing=Preprocessing.from_dict(document["preprocessing"]),
                content_hash=document["content_hash"],
                counts=document["counts"],
                synthetic=document["synthetic"],
                parent=document["parent"],
                patient_key=document.get("patient_key", ""),  # versions of before do not say
            )
        except (KeyError, TypeError) as error:
            raise IntegrityError(f"{root / DATASET_FILE} is not complete ({error}). Run preprocess again.") from error
        check_disjoint(version.manifest)
        return version

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """All rows."""
        return read_manifest(self.root / MANIFEST_FILE)

    def split(self, name: str) -> SplitData:
        """The images, labels and rows of one split.

        Raises:
            IntegrityError: the split is empty, or its pixels and rows do not belong together.
        """
        if name not in SPLITS:
            raise IntegrityError(f"'{name}' is no split; there are {', '.join(SPLITS)}.")
        rows = self.manifest[self.manifest["split"] == name].reset_index(drop=True)
        path = self.root / shard_file(name)
        if rows.empty or not path.is_file():
            raise IntegrityError(f"dataset version {self.root} has no images in split '{name}'.")
        try:
            images: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise IntegrityError(f"{path} is damaged ({error}). Run preprocess again.") from error
        if images.shape != (len(rows), self.image_size, self.image_size) or images.dtype != np.uint8:
            raise IntegrityError(f"{path} holds {images.dtype} {images.shape}, not {len(rows)} rows of its manifest.")
        labels = rows["label"].map(self.taxonomy.index).to_numpy(np.int64)
        return SplitData(images[:, None], labels, rows)

    def summary(self) -> dict[str, Any]:
        """What a person wants to know, as JSON."""
        return {"name": self.name, "image_size": self.image_size, "synthetic": self.synthetic, "counts": self.counts}
