"""Pairs of hashes that differ in few bits, among a hundred thousand, without comparing all pairs.

Of 7 bits that differ among 64, one quarter of 16 bits holds at most one (the pigeonhole principle; multi-index
hashing, Norouzi et al. 2012). So each quarter is sorted, and only hashes that agree in a quarter, or differ there in
one bit, are compared. Memory is bounded: candidates come in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

RADIUS = 7  # of the first 64 bits; with 8, all four quarters could hold two

_QUARTERS = 4
_QUARTER_BITS = 16
_BLOCK = 1 << 21  # candidates looked at together; 100 MB
_REST = 32  # of all 256 bits; films saved again differ in 25 at most, and a wider net costs more reading than it finds

Pairs = npt.NDArray[np.int64]


def close_pairs(hashes: npt.NDArray[np.uint64]) -> Pairs:
    """Pairs of hashes whose first 64 bits differ by at most 7, and all 256 by at most 32.

    Args:
        hashes: uint64 (images, 4).
    Returns:
        int64 (pairs, 2), the smaller position first, sorted, each pair once.
    """
    found = [
        _close(hashes, first, second)
        for quarter in range(_QUARTERS)
        for first, second in _candidates((hashes[:, 0] >> np.uint64(_QUARTER_BITS * quarter)) & np.uint64(0xFFFF))
    ]
    pairs = np.concatenate([np.empty((0, 2), np.int64), *found])
    return np.asarray(np.unique(np.sort(pairs, axis=1), axis=0), np.int64)


def _close(hashes: npt.NDArray[np.uint64], first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]) -> Pairs:
    near = np.bitwise_count(hashes[first, 0] ^ hashes[second, 0]) <= RADIUS
    first, second = first[near], second[near]
    near = np.bitwise_count(hashes[first] ^ hashes[second]).sum(axis=1, dtype=np.int64) <= _REST
    return np.stack([first[near], second[near]], axis=1).astype(np.int64)


def _candidates(keys: npt.NDArray[np.uint64]) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Positions whose keys are equal, or differ in one bit, in blocks."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    later = np.arange(1, len(keys) + 1)
    yield from _expand(order, later, np.searchsorted(ordered, ordered, side="right"))
    for bit in range(_QUARTER_BITS):
        other = ordered ^ np.uint64(1 << bit)
        start = np.searchsorted(ordered, other, side="left")
        end = np.searchsorted(ordered, other, side="right")
        yield from _expand(order, start, np.where(other > ordered, end, start))  # each pair from one side only


def _expand(
    order: npt.NDArray[np.intp], start: npt.NDArray[np.intp], end: npt.NDArray[np.intp]
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """For each place in the order, itself with those from `start` to `end`."""
    counts = end - start
    place = np.flatnonzero(counts)
    block = np.cumsum(counts[place]) // _BLOCK
    for members in np.split(place, np.flatnonzero(np.diff(block)) + 1):
        size = counts[members]
        first = np.repeat(members, size)
        offset = np.arange(len(first)) - np.repeat(np.cumsum(size) - size, size)
        yield order[first], order[np.repeat(start[members], size) + offset]
