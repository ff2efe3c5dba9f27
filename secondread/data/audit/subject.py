"""What is audited: ingested images or a dataset version, told apart by their own record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.atomic import read_json
from secondread.data.ingest import SOURCE_FILE
from secondread.data.manifest import MANIFEST_FILE, REJECTED_FILE, SPLITS, read_manifest, read_rejected
from secondread.data.pixels.decode import decode
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
from secondread.data.versions.groups import group_ids
from secondread.data.versions.shards import shard_file
from secondread.errors import InputError, IntegrityError
from secondread.taxonomy import Taxonomy

READ_SIDE = 128  # pixels that a JPEG's shorter side is decoded to at least: border and thumbnail need no more

INGESTED, VERSION = "ingested images", "dataset version"  # kinds

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Subject:
    """A set of images.

    Attributes:
        name: for people.
        kind: `ingested images` or `dataset version`.
        rows: manifest rows, each with its `group_id`.
        rejected: what ingest left out; no rows where that is not recorded.
        rejected_counts: the same by reason, which a dataset version records too.
        taxonomy: classes and modalities.
        synthetic: the images are generated.
        read: uint8 (height, width) of the image at a position in `rows`, without padding.
    """

    name: str
    kind: str
    rows: pd.DataFrame
    rejected: pd.DataFrame
    rejected_counts: Mapping[str, int]
    taxonomy: Taxonomy
    synthetic: bool
    read: Callable[[int], Grey]


def open_subject(path: Path, *, ingested: Path | None = None) -> Subject:
    """Open what `data ingest` or `data preprocess` wrote.

    Args:
        path: the folder.
        ingested: of a version, the images that it was made of; then what was left out of those is looked at too, so
            that repeats and contradictions are told with the splits and sources that they lay in.
    Raises:
        InputError: it is neither.
        IntegrityError: it is damaged.
    """
    if ingested is not None:
        subject, left_out = _open_version(path), read_rejected(ingested / REJECTED_FILE)
        return replace(subject, rejected=pd.concat([left_out, subject.rejected], ignore_index=True))
    if (path / DATASET_FILE).is_file():
        return _open_version(path)
    if (path / SOURCE_FILE).is_file():
        return _open_ingested(path)
    raise InputError(
        f"{path} is neither ingested images nor a dataset version (no {SOURCE_FILE}, no {DATASET_FILE}). "
        "Run data ingest first, or name its output."
    )


def _open_ingested(path: Path) -> Subject:
    source = read_json(path / SOURCE_FILE)
    rows = read_manifest(path / MANIFEST_FILE)
    rows["group_id"] = group_ids(rows)
    return Subject(
        name=Path(source["uri"]).name or source["uri"],
        kind=INGESTED,
        rows=rows,
        rejected=read_rejected(path / REJECTED_FILE),
        rejected_counts=source["rejected"],
        taxonomy=Taxonomy.from_dict(source["taxonomy"]),
        synthetic=source["synthetic"],
        read=partial(_read_file, path, rows["path"].tolist()),
    )


def _read_file(root: Path, paths: list[str], position: int) -> Grey:
    try:
        return decode((root / paths[position]).read_bytes(), min_side=READ_SIDE)
    except OSError as error:
        raise IntegrityError(f"{root / paths[position]} is missing ({error.strerror}). Ingest it again.") from error


def _open_version(path: Path) -> Subject:
    version = DatasetVersion.open(path)
    splits = [name for name in SPLITS if version.counts.get(name)]
    data = [version.split(name) for name in splits]
    rows = pd.concat([part.rows for part in data], ignore_index=True)
    starts = np.cumsum([0, *(len(part.rows) for part in data)])

    size, shards = version.image_size, [version.root / shard_file(name) for name in splits]
    first_bytes = [np.load(path, mmap_mode="r", allow_pickle=False).offset for path in shards]
    widths, heights = rows["width"].to_numpy(), rows["height"].to_numpy()

    def read(position: int) -> Grey:
        part = int(np.searchsorted(starts, position, side="right")) - 1
        start = first_bytes[part] + (position - int(starts[part])) * size**2
        # not through the memory map: with each page that is asked for, the kernel maps its neighbours too, so that a
        # sample from all over the set would make nearly all of it resident
        image = np.fromfile(shards[part], np.uint8, size**2, offset=start).reshape(size, size)
        if version.preprocessing.trim_borders:  # the manifest has the size that the film had before
            return _within_black(image)
        return _unpadded(image, int(widths[position]), int(heights[position]))

    return Subject(
        name=version.name,
        kind=VERSION,
        rows=rows,
        rejected=read_rejected(path / REJECTED_FILE),
        rejected_counts=read_json(path / DATASET_FILE).get("source", {}).get("rejected", {}),
        taxonomy=version.taxonomy,
        synthetic=version.synthetic,
        read=read,
    )


def _unpadded(image: Grey, width: int, height: int) -> Grey:
    """The picture within its black padding, whose width would only tell the aspect ratio over again."""
    size = len(image)
    scale = size / max(width, height)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    top, left = (size - inner_height) // 2, (size - inner_width) // 2
    return image[top : top + inner_height, left : left + inner_width]


def _within_black(image: Grey) -> Grey:
    """The picture without black rows and columns at its edges; all of it where it is black."""
    rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else image
