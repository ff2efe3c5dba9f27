"""Films that are the same picture in other bytes: saved again, resized, brighter. Found by hash, proved on pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from secondread.cpus import cpu_limit
from secondread.data.cleaning.detail import HASH_BYTES, SIDE, details, thumbnail
from secondread.data.cleaning.hash_pairs import Pairs, close_pairs
from secondread.data.pixels.decode import decode

_READ_AT_ONCE = 8_192  # pairs: at most 16,384 thumbnails, 64 MB; a picture is in several of them, and is read once
_COMPARED_AT_ONCE = 512  # pairs: 1,024 thumbnails, 16 MB as float32
_NAME_DIGITS = 16  # hex digits of a picture's hash in a cluster's name


def find_near_duplicates(paths: Sequence[Path], hashes: Sequence[bytes], *, similarity: float) -> Pairs:
    """Pairs of pictures that are nearly the same.

    Args:
        paths: of the stored images.
        hashes: as many, from `detail_hash`; an image whose hash is empty is compared with none.
        similarity: correlation of details, 0 to 1, from which on two pictures are one.
    Returns:
        int64 (pairs, 2), positions in `paths`.
    """
    hashed = np.array([position for position, value in enumerate(hashes) if value], np.int64)
    if len(hashed) < 2:
        return np.empty((0, 2), np.int64)
    words = np.frombuffer(b"".join(hashes), dtype=">u8").reshape(-1, HASH_BYTES // 8).astype(np.uint64)
    candidates = hashed[close_pairs(words)]
    confirmed = [
        _confirm(paths, candidates[start : start + _READ_AT_ONCE], similarity)
        for start in range(0, len(candidates), _READ_AT_ONCE)
    ]
    return np.concatenate([np.empty((0, 2), np.int64), *confirmed])


def _confirm(paths: Sequence[Path], pairs: Pairs, similarity: float) -> Pairs:
    """Those of the pairs whose pixels agree. Images are read again: keeping every thumbnail would take 500 MB."""
    positions, where = np.unique(pairs, return_inverse=True)
    with ThreadPoolExecutor(cpu_limit()) as pool:
        shown = np.stack(list(pool.map(partial(_read, paths), positions)))
        parts = np.array_split(where.reshape(pairs.shape), -(-len(pairs) // _COMPARED_AT_ONCE))
        likeness = np.concatenate(list(pool.map(partial(_likeness, shown), parts)))
    return np.asarray(pairs[likeness >= similarity], np.int64)


def _likeness(shown: npt.NDArray[np.uint8], pairs: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    first, second = details(shown[pairs[:, 0]]), details(shown[pairs[:, 1]])
    return np.asarray(np.einsum("ij,ij->i", first, second), np.float32)


def _read(paths: Sequence[Path], position: int) -> npt.NDArray[np.uint8]:
    return thumbnail(decode(paths[position].read_bytes(), min_side=2 * SIDE))


def cluster_names(pixel_hashes: Sequence[str], pairs: Pairs) -> list[str]:
    """A name for each image that has near duplicates, the same for all that hang together; empty for the others.

    Args:
        pixel_hashes: hex, one an image. The least of a cluster names it, whatever the order of the images.
        pairs: int64 (pairs, 2), positions in `pixel_hashes`.
    """
    count = len(pixel_hashes)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, component = connected_components(links, directed=False)
    members: dict[int, list[int]] = defaultdict(list)
    for position in np.unique(pairs).tolist():
        members[int(component[position])].append(position)
    names = [""] * count
    for positions in members.values():
        name = "near-" + min(pixel_hashes[position] for position in positions)[:_NAME_DIGITS]
        for position in positions:
            names[position] = name
    return names
