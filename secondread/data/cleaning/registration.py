"""Two pictures laid over each other: moved and stretched until they agree best, and how well they then do.

A copy that was cropped, or put in a frame, is the same film at another place and in another scale, each axis by itself
where the aspect ratio was lost. These four numbers are found as Lucas and Kanade (1981) do, by Gauss-Newton steps from
coarse pictures to fine ones, on local contrast: brightness and gradation do not matter.

Everything is done for many pairs at once. A placing is float32 (pairs, 4): scale and shift along x, then along y, in
halves of a side; `(1, 0, 1, 0)` leaves a picture where it is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

Floats = npt.NDArray[np.float32]
Grey = npt.NDArray[np.uint8]

LEAST_OVERLAP = 0.5  # of the area; films that share less would be judged by too little

_MARGIN = 0.06  # of half a side: what the contrast of a border's pixels is taken from lies outside the film
_LONGEST_STEP = 0.15
_SCALES, _SHIFTS = (0.7, 1.4), (-0.35, 0.35)  # a copy that keeps less of the film than this is not looked for


def unmoved(pairs: int) -> Floats:
    """The placing to start from."""
    return np.tile(np.array([1, 0, 1, 0], np.float32), (pairs, 1))


def lay_over(first: Grey, second: Grey, placing: Floats, *, side: int, steps: int) -> tuple[Floats, Floats]:
    """Improve where `first` must be sampled to look like `second`.

    Args:
        first: uint8 (pairs, size, size).
        second: likewise.
        placing: to start from, right to about an eighth of a side at 16 px, and to two pixels.
        side: pixels at which they are compared; it divides `size`.
        steps: of Gauss-Newton.
    Returns:
        The better placing, and the likeness float32 (pairs,): the correlation, -1 to 1, of the contrast of what both
        show; 0 where they overlap by less than half.
    """
    one, other = contrast(first, side), contrast(second, side)
    rise = np.gradient(one, axis=(1, 2))
    down, right = (np.asarray(part * (side / 2), np.float32) for part in rise)
    for _ in range(steps):
        placing = _step(one, right, down, other, placing)
    return placing, _likeness(one, other, placing)


def contrast(pictures: Grey, side: int) -> Floats:
    """What each pixel is against its surroundings, in units of how much these vary.

    Args:
        pictures: uint8 (pictures, size, size).
        side: pixels of the result.
    Returns:
        float32 (pictures, side, side).
    """
    count, size, _ = pictures.shape
    ratio, window = size // side, 2 * (side // 8) + 1 if side < 64 else 9
    values = pictures.reshape(count, side, ratio, side, ratio).mean((2, 4), dtype=np.float32)
    values -= uniform_filter(values, (0, window, window), mode="reflect")
    square = values * values
    spread = np.sqrt(np.maximum(uniform_filter(square, (0, window, window), mode="reflect"), 0))
    usual = np.sqrt(square.mean((1, 2), keepdims=True))
    return np.asarray(values / (spread + 0.3 * usual + 1e-3), np.float32)


def _sampling(scale: Floats, shift: Floats, side: int) -> tuple[Floats, Floats]:
    """Bilinear weights of one axis (pairs, side, side), and 1 where the place lies within both pictures."""
    place = (2 * np.arange(side, dtype=np.float32) + 1) / side - 1
    there = place * scale[:, None] + shift[:, None]
    pixel = ((there + 1) * side - 1) / 2
    weights = np.maximum(0, 1 - np.abs(pixel[:, :, None] - np.arange(side, dtype=np.float32)))
    inside = (np.abs(there) <= 1 - _MARGIN) & (np.abs(place) <= 1 - _MARGIN)
    return np.asarray(weights, np.float32), inside.astype(np.float32)


def _sampled(placing: Floats, side: int, *pictures: Floats) -> tuple[list[Floats], Floats]:
    """The pictures at their placing, and the mask of what is seen of them: float32 (pairs, side, side) each."""
    across, seen_x = _sampling(placing[:, 0], placing[:, 1], side)
    along, seen_y = _sampling(placing[:, 2], placing[:, 3], side)
    turned = across.transpose(0, 2, 1)
    shown = [np.asarray(along @ picture @ turned, np.float32) for picture in pictures]
    return shown, seen_y[:, :, None] * seen_x[:, None, :]


def _step(one: Floats, right: Floats, down: Floats, other: Floats, placing: Floats) -> Floats:
    """One step of Gauss-Newton, damped, the gain between the two pictures taken out."""
    count, side, _ = one.shape
    place = (2 * np.arange(side, dtype=np.float32) + 1) / side - 1
    (shown, right, down), seen = _sampled(placing, side, one, right, down)
    gain = (shown * other * seen).sum((1, 2)) / np.maximum((shown * shown * seen).sum((1, 2)), 1e-3)
    gain = np.clip(gain, 0.3, 3)[:, None, None]
    error = ((other - gain * shown) * seen).reshape(count, -1, 1)
    slopes = np.stack([right * place, right, down * place[:, None], down], axis=1) * (gain * seen)[:, None]
    slopes = slopes.reshape(count, 4, -1)
    normal = slopes @ slopes.transpose(0, 2, 1)
    damping = 0.0025 * np.trace(normal, axis1=1, axis2=2) + 1e-3
    normal += damping[:, None, None] * np.eye(4, dtype=np.float32)
    step = np.linalg.solve(normal, slopes @ error)[:, :, 0]
    placing = placing + np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
    placing[:, ::2] = np.clip(placing[:, ::2], *_SCALES)
    placing[:, 1::2] = np.clip(placing[:, 1::2], *_SHIFTS)
    return np.asarray(placing, np.float32)


def _likeness(one: Floats, other: Floats, placing: Floats) -> Floats:
    (shown,), seen = _sampled(placing, one.shape[1], one)
    area = seen.sum((1, 2), keepdims=True)
    a, b = (
        (picture - (picture * seen).sum((1, 2), keepdims=True) / np.maximum(area, 1)) * seen
        for picture in (shown, other)
    )
    length = np.sqrt((a * a).sum((1, 2)) * (b * b).sum((1, 2)))
    likeness = (a * b).sum((1, 2)) / np.maximum(length, 1e-6)
    enough = area[:, 0, 0] >= LEAST_OVERLAP * one.shape[1] ** 2
    return np.asarray(np.where(enough, likeness, 0), np.float32)
