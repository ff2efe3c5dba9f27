"""For every film the few that look most like it, wherever their borders were cut: candidates for a closer comparison.

Which directions tell films apart, and which only how they are cropped? Films of the set are cropped at random, and
Fisher's linear discriminant (Rao 1948) of the results finds the 64 directions in which films differ most for what
cropping changes. In these, neighbours are looked for; within cells of about 256 films (Sivic and Zisserman 2003), so
that the work grows with the number of films and not with its square.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.linalg import eigh

from secondread.data.cleaning.registration import Floats, Grey, contrast

MOST_CROPPED = 0.14  # of each side, in all

_SIDE = 16  # pixels: fine enough to tell films apart, coarse enough to bear a shift
_DIRECTIONS = 64
_LEARNED_FILMS = 1_500
_CROPS = 4  # of each
_CELL = 256  # films
_PROBED = 24  # cells: half of all at 12,000 films, one in twenty at 125,000
_ROUNDS = 4  # of k-means: cells need not be perfect
_AT_ONCE = 4_096

Neighbours = npt.NDArray[np.int64]


def look_alikes(sketches: Grey, *, count: int, mirrored: bool = False) -> Neighbours:
    """The films that look most like each one.

    Args:
        sketches: uint8 (films, size, size), size a multiple of 16.
        count: how many at most for each film.
        mirrored: films are compared with the mirror images of the others.
    Returns:
        int64 (pairs, 2), the smaller position first, sorted, each pair once.
    """
    if len(sketches) < 2:
        return np.empty((0, 2), np.int64)
    mean, directions = _learned(sketches)
    known = _embedded(sketches, mean, directions)
    asked = _embedded(sketches[:, :, ::-1], mean, directions) if mirrored else known
    found = [np.empty((0, 2), np.int64), *_neighbours(asked, known, count)]
    return np.asarray(np.unique(np.sort(np.concatenate(found), axis=1), axis=0), np.int64)


def _learned(sketches: Grey) -> tuple[Floats, Floats]:
    """The mean, and the directions (256, 64), from crops of some of the films."""
    random = np.random.default_rng(0)  # not the split's seed: which films look alike is no matter of choice
    chosen = sketches[random.permutation(len(sketches))[:_LEARNED_FILMS]]
    views = np.stack([_features(chosen), *(_features(_cropped(chosen, random)) for _ in range(_CROPS))])
    centres = views.mean(axis=0)
    spread = (views - centres).reshape(-1, _SIDE**2)
    within = spread.T @ spread / len(spread)
    within += np.eye(_SIDE**2) * (0.01 * np.trace(within) / _SIDE**2 + 1e-6)
    _, directions = eigh(np.cov(centres.T), within, subset_by_index=(_SIDE**2 - _DIRECTIONS, _SIDE**2 - 1))
    return np.asarray(centres.mean(axis=0), np.float32), np.asarray(directions, np.float32)


def _cropped(sketches: Grey, random: np.random.Generator) -> Grey:
    size = sketches.shape[1]
    views = np.empty_like(sketches)
    for view, sketch in zip(views, sketches, strict=True):
        cut_x, cut_y = random.uniform(0, MOST_CROPPED, 2)
        left, top = random.uniform(0, cut_x), random.uniform(0, cut_y)
        box = (left * size, top * size, (1 + left - cut_x) * size, (1 + top - cut_y) * size)
        view[:] = np.asarray(Image.fromarray(sketch).resize((size, size), Image.Resampling.BILINEAR, box=box))
    return views


def _features(sketches: Grey) -> Floats:
    return contrast(sketches, _SIDE).reshape(len(sketches), -1)


def _embedded(sketches: Grey, mean: Floats, directions: Floats) -> Floats:
    """float32 (films, 64), of length 1."""
    starts = range(0, len(sketches), _AT_ONCE)
    points = np.concatenate([(_features(sketches[start : start + _AT_ONCE]) - mean) @ directions for start in starts])
    return np.asarray(points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-6), np.float32)


def _neighbours(asked: Floats, known: Floats, count: int) -> Iterator[Neighbours]:
    """Positions of those asked for, each with one of its neighbours, itself excepted."""
    centres = _centres(known)
    cell = np.concatenate([part.argmax(axis=1) for part in _products(known, centres)])
    members = [np.flatnonzero(cell == number) for number in range(len(centres))]
    ranks = [np.argsort(-part, axis=1, kind="stable")[:, :_PROBED] for part in _products(asked, centres)]
    nearest = np.concatenate(ranks)
    best = np.full((len(asked), count), -1, np.int64)
    value = np.full((len(asked), count), -np.inf, np.float32)
    for number, inside in enumerate(members):
        near = np.flatnonzero((nearest == number).any(axis=1))
        if not len(inside) or not len(near):
            continue
        likeness = asked[near] @ known[inside].T
        likeness[near[:, None] == inside] = -np.inf
        all_values = np.concatenate([value[near], likeness], axis=1)
        all_found = np.concatenate([best[near], np.broadcast_to(inside, likeness.shape)], axis=1)
        top = np.argpartition(-all_values, count - 1, axis=1)[:, :count]
        value[near], best[near] = np.take_along_axis(all_values, top, 1), np.take_along_axis(all_found, top, 1)
    for column in best.T:
        has = np.flatnonzero(column >= 0)
        yield np.stack([has, column[has]], axis=1)


def _centres(points: Floats) -> Floats:
    """Of the cells: k-means on the sphere."""
    random = np.random.default_rng(0)
    centres = points[random.permutation(len(points))[: max(1, len(points) // _CELL)]]
    for _ in range(_ROUNDS):
        cell = np.concatenate([part.argmax(axis=1) for part in _products(points, centres)])
        sums = np.zeros_like(centres)
        np.add.at(sums, cell, points)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(length > 0, sums / np.maximum(length, 1e-6), centres)
    return np.asarray(centres, np.float32)


def _products(points: Floats, centres: Floats) -> Iterator[Floats]:
    for start in range(0, len(points), _AT_ONCE):
        yield points[start : start + _AT_ONCE] @ centres.T
