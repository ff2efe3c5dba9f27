"""What is made of a saliency map: regions for machines, and a picture for people. No torch here.

A map says where the network looked, not why: a map that looks right proves nothing about what was learned (Adebayo et
al. 2018, "Sanity Checks for Saliency Maps").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondread.errors import InputError

Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
ByteImage = npt.NDArray[np.uint8]

# From weak to strong. Lightness rises all along, so that the order is seen by whoever confuses colours, and in print;
# none is grey, so that it cannot be taken for the film.
COLOURS = ((49, 18, 130), (122, 29, 153), (191, 53, 120), (238, 96, 68), (251, 164, 40), (250, 232, 92))
_COVER = 0.65  # share of the film that the strongest place hides
_CLEAR = 0.1  # of the strongest: weaker places leave the film as it is
_EDGE = 0.5  # of the strongest: what a region has everywhere


@dataclass(frozen=True)
class Region:
    """A place that speaks for the class.

    Attributes:
        left, top, right, bottom: pixels of the map; right and bottom lie outside.
        strength: of its strongest place, in [0.5, 1].
        share: of all that the map holds, in (0, 1].
    """

    left: int
    top: int
    right: int
    bottom: int
    strength: float
    share: float


def strongest_regions(saliency: Map, *, count: int = 3) -> tuple[Region, ...]:
    """The places that speak most for the class, the strongest first.

    Args:
        saliency: float32 (height, width), in [0, 1], as `GraphSession.explain` gives it for one image.
        count: regions at most.
    Returns:
        Each is what hangs together, side by side, of the places with at least half of the largest value. None where the
        map is 0 all over.
    Raises:
        InputError: not such a map.
    """
    _check(saliency)
    strong = saliency >= _EDGE * saliency.max()
    found: list[Region] = []
    while len(found) < count and (left := np.where(strong, saliency, 0)).any():
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        part = _joined(strong, int(row), int(column))
        rows, columns = (np.flatnonzero(part.any(axis=axis)) for axis in (1, 0))
        found.append(
            Region(
                left=int(columns[0]),
                top=int(rows[0]),
                right=int(columns[-1]) + 1,
                bottom=int(rows[-1]) + 1,
                strength=float(left[row, column]),
                share=float(saliency[part].sum(dtype=np.float64) / saliency.sum(dtype=np.float64)),
            )
        )
        strong &= ~part
    return tuple(found)


def _joined(mask: Mask, row: int, column: int) -> Mask:
    """What of a mask hangs together with one of its places."""
    part = np.zeros_like(mask)
    part[row, column] = True
    while True:
        grown = part.copy()
        grown[1:] |= part[:-1]
        grown[:-1] |= part[1:]
        grown[:, 1:] |= part[:, :-1]
        grown[:, :-1] |= part[:, 1:]
        grown &= mask
        if (grown == part).all():
            return part
        part = grown


def hits(saliency: Map, masks: Mask) -> Mask:
    """Whether the strongest place of each map lies in the finding: the pointing game.

    Args:
        saliency: float32 (images, height, width).
        masks: bool, the same shape: where the finding is.
    Returns:
        bool (images,). A blind guess hits as often as the finding's share of the area.
    Raises:
        InputError: the two differ in shape.
    Source: Zhang et al. 2018, "Top-Down Neural Attention by Excitation Backprop", section 4.1.
    """
    if saliency.shape != masks.shape:
        raise InputError(
            f"maps {saliency.shape} and masks {masks.shape} differ: give a mask of the same size for each."
        )
    strongest = saliency.reshape(len(saliency), -1).argmax(axis=1)
    return np.asarray(masks.reshape(len(masks), -1)[np.arange(len(masks)), strongest])


def overlay(image: ByteImage, saliency: Map) -> ByteImage:
    """A film with its map over it: the stronger a place, the lighter its colour and the less of the film shows through.

    Args:
        image: uint8 (height, width), 0 black.
        saliency: float32 (height, width), in [0, 1].
    Returns:
        uint8 (height, width, 3), red, green and blue.
    Raises:
        InputError: not such a map, or one of another size.
    """
    _check(saliency)
    if image.shape != saliency.shape:
        raise InputError(
            f"a map {saliency.shape} cannot lie over an image {image.shape}: give the pixels it was made of."
        )
    cover = _COVER * np.clip((saliency - _CLEAR) / (1 - _CLEAR), 0, 1)[..., None]
    mixed = (1 - cover) * image[..., None].astype(np.float64) + cover * colours(saliency)
    return np.asarray(np.rint(mixed), np.uint8)


def colours(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Values in [0, 1], (...), to the colours of the scale, float64 (..., 3), 0 to 255."""
    places = np.linspace(0, 1, len(COLOURS))
    return np.stack([np.interp(values, places, channel) for channel in zip(*COLOURS, strict=True)], axis=-1)


def _check(saliency: Map) -> None:
    if saliency.ndim != 2 or not np.isfinite(saliency).all() or saliency.min() < 0 or saliency.max() > 1:
        raise InputError(
            f"a saliency map is (height, width) of numbers from 0 to 1, not {saliency.shape}: give that of one image."
        )
