"""Copies of a film that were cropped, framed or mirrored: films that are the same once they are laid over each other.

Measured on 4,977 real chest films of four sets, with copies planted of 400 that were cropped, framed or mirrored,
resized and saved as JPEG: laid over each other, copies agree by 0.93 or more, films of different people by 0.84 at
most. Found are all that were cropped by 2 % of each side or mirrored, 199 in 200 at 5 and 8 %, 98 in 100 with other
brightness or a frame, and 91 in 100 at 12 %; beyond that fewer. Two films of one person who lies as before agree by up
to 0.92; taken for copies they would stay in one split, where they belong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from secondread.cpus import cpu_limit
from secondread.data.cleaning.hash_pairs import Pairs
from secondread.data.cleaning.look_alikes import look_alikes
from secondread.data.cleaning.registration import Floats, Grey, lay_over, unmoved
from secondread.data.pixels.decode import decode

SAME_FILM = 0.93  # likeness at 64 px

_SIDE = 64  # pixels at which two films are judged
_SKETCH = 32  # pixels that are kept of every film: 1 KiB, so 125 MB for 125,000
_PROMISING = 0.88  # likeness at 32 px below which no copy lies
_LOOK_ALIKES, _MIRRORED = 8, 2  # candidates a film
_AT_ONCE = 512  # pairs: their slopes at 64 px take 64 MB
_EVEN = 4  # grey levels of deviation: a row or column that varies less is a frame, JPEG's ripples included
_MOST_FRAME = 0.2  # of a side


def find_cropped_copies(paths: Sequence[Path], pixel_hashes: Sequence[str], patients: Sequence[str]) -> Pairs:
    """Pairs of pictures that show the same film, those of one known patient excepted: they stay together anyway.

    Args:
        paths: of the stored images.
        pixel_hashes: hex, as many; the pairs do not depend on the order of the images.
        patients: as many ids, empty where the patient is not known.
    Returns:
        int64 (pairs, 2), positions in `paths`.
    """
    order = np.argsort(np.asarray(pixel_hashes), kind="stable")
    ordered, patient = [paths[position] for position in order], pd.factorize(np.asarray(patients, object)[order])[0]
    known = np.asarray([bool(patients[position]) for position in order])
    with ThreadPoolExecutor(cpu_limit()) as pool:
        sketches = np.stack(list(pool.map(partial(_unframed, side=_SKETCH), ordered))) if ordered else None
        if sketches is None or len(sketches) < 2:
            return np.empty((0, 2), np.int64)
        found = [np.empty((0, 2), np.int64)]
        for count, mirrored in ((_LOOK_ALIKES, False), (_MIRRORED, True)):
            candidates = look_alikes(sketches, count=count, mirrored=mirrored)
            first, second = candidates.T
            candidates = candidates[(patient[first] != patient[second]) | ~known[first]]
            blocks = [candidates[start : start + _AT_ONCE] for start in range(0, len(candidates), _AT_ONCE)]
            promising = list(pool.map(partial(_promising, sketches, mirrored=mirrored), blocks))
            for block, placings in _rebatched(promising) if promising else ():
                found.append(_confirmed(pool, ordered, block, placings, mirrored=mirrored))
    return np.asarray(order[np.concatenate(found)], np.int64)


def unframed(grey: Grey, *, side: int) -> Grey:
    """The picture without an even frame, uint8 (side, side), its aspect ratio not kept.

    Args:
        grey: uint8 (height, width).
        side: pixels.
    """
    top, bottom = _within_frame(grey.std(axis=1))
    left, right = _within_frame(grey.std(axis=0))
    inner = Image.fromarray(np.ascontiguousarray(grey[top:bottom, left:right]))
    return np.asarray(inner.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0))


def _unframed(path: Path, *, side: int) -> Grey:
    return unframed(decode(path.read_bytes(), min_side=2 * _SIDE), side=side)


def _within_frame(deviations: npt.NDArray[np.floating]) -> tuple[int, int]:
    varied = np.flatnonzero(deviations >= _EVEN)
    most = int(_MOST_FRAME * len(deviations))
    if not len(varied):
        return 0, len(deviations)
    return min(int(varied[0]), most), max(int(varied[-1]) + 1, len(deviations) - most)


def _promising(sketches: Grey, pairs: Pairs, *, mirrored: bool) -> tuple[Pairs, Floats]:
    """Those that agree at 32 px, and how they lie."""
    first, second = _turned(sketches[pairs[:, 0]], mirrored=mirrored), sketches[pairs[:, 1]]
    placings, _ = lay_over(first, second, unmoved(len(pairs)), side=16, steps=6)
    placings, likeness = lay_over(first, second, placings, side=_SKETCH, steps=4)
    return pairs[likeness >= _PROMISING], placings[likeness >= _PROMISING]


def _turned(pictures: Grey, *, mirrored: bool) -> Grey:
    return pictures[:, :, ::-1] if mirrored else pictures


def _rebatched(parts: Sequence[tuple[Pairs, Floats]]) -> Iterator[tuple[Pairs, Floats]]:
    pairs, placings = (np.concatenate(values) for values in zip(*parts, strict=True))
    for start in range(0, len(pairs), _AT_ONCE):
        yield pairs[start : start + _AT_ONCE], placings[start : start + _AT_ONCE]


def _confirmed(
    pool: ThreadPoolExecutor, paths: Sequence[Path], pairs: Pairs, placings: Floats, *, mirrored: bool
) -> Pairs:
    """Those that are the same film at 64 px; read again, since few of all films come so far."""
    positions, where = np.unique(pairs, return_inverse=True)
    read = pool.map(partial(_unframed, side=_SIDE), [paths[position] for position in positions])
    pictures = np.stack(list(read))[where.reshape(pairs.shape)]
    first, second = _turned(pictures[:, 0], mirrored=mirrored), pictures[:, 1]
    _, likeness = lay_over(first, second, placings, side=_SIDE, steps=4)
    return pairs[likeness >= SAME_FILM]
