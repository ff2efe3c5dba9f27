"""Pictures of a version, drawn at random: only their own bytes are read, whatever the size of the set."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.dashboard.images import Images
from secondread.dashboard.shelf import Held
from secondread.data.store.store import THREADS
from secondread.data.versions.shards import shard_file
from secondread.errors import IntegrityError

BRIGHTNESS_IMAGES = 400  # drawn from each version; the mean of a class mix is then known to 2 grey levels

_HEADER_BYTES = 256  # of a shard; NumPy's own takes 128

Grey = npt.NDArray[np.uint8]


def draw(images: Images, *, label: str, split: str, count: int, seed: int) -> list[int]:
    """Positions of some images in the table, at random.

    Args:
        images: of a version.
        label: class.
        split: empty for any.
        count: images; fewer where there are no more.
        seed: another one gives others.
    """
    table = images.table
    wanted = (table["label"] == label).to_numpy()
    if split:
        wanted = wanted & (table["split"] == split).to_numpy()
    found = np.flatnonzero(wanted)
    chosen = np.random.default_rng(seed).permutation(found)[:count]
    return [int(position) for position in chosen]


def read_pictures(held: Held, images: Images, positions: list[int]) -> list[Grey]:
    """The preprocessed pixels at some positions of the table: uint8 (size, size) each.

    Raises:
        IntegrityError: the pixels are missing, or do not belong to the manifest.
    """
    split = images.table["split"].astype(str)
    row = images.table.groupby(split).cumcount()
    places = [(str(split.iloc[position]), int(row.iloc[position])) for position in positions]
    starts = {
        name: _start(held, name, int((split == name).sum()), images.image_size)
        for name in sorted({name for name, _ in places})
    }
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(partial(_read, held, starts, images.image_size), places))


def brightness(held: Held, images: Images, *, count: int = BRIGHTNESS_IMAGES, seed: int = 0) -> pd.Series:
    """Mean grey level, 0 to 255, of images drawn at random; NaN for all others.

    Black rows and columns around a picture do not count: they fill up what is not square.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(images.table))[:count])
    found = read_pictures(held, images, [int(position) for position in chosen])
    means = np.full(len(images.table), np.nan)
    means[chosen] = [_inner(picture).mean() for picture in found]
    return pd.Series(means, index=images.table.index)


def _inner(picture: Grey) -> Grey:
    """The picture without black margins; all of it where it is black."""
    rows, columns = (np.flatnonzero(picture.any(axis=axis)) for axis in (1, 0))
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else picture


def _start(held: Held, split: str, count: int, size: int) -> int:
    """Where the first picture of a shard begins, in bytes."""
    file = shard_file(split)
    head = io.BytesIO(held.read(file, 0, _HEADER_BYTES))
    try:
        version = np.lib.format.read_magic(head)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, kind = read(head)
    except ValueError as error:
        raise IntegrityError(f"{file} of version {held.title} is damaged ({error}). Run preprocess again.") from error
    if shape != (count, size, size) or fortran or kind != np.uint8:
        raise IntegrityError(
            f"{file} of version {held.title} holds {kind} {shape}, not the {count} images of its manifest."
        )
    return head.tell()


def _read(held: Held, starts: dict[str, int], size: int, place: tuple[str, int]) -> Grey:
    split, row = place
    data = held.read(shard_file(split), starts[split] + row * size * size, size * size)
    return np.frombuffer(data, np.uint8).reshape(size, size)
