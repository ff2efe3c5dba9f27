"""Training images that set the ranges of an INT8 graph: which, and whether they say anything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from secondread.data.versions.dataset import SplitData
from secondread.errors import InputError


def calibration_images(train: SplitData, *, count: int, seed: int) -> npt.NDArray[np.uint8]:
    """Pick training images, as many of each class as there are to have, so that a rare class has its say.

    Returns:
        uint8 (images, 1, size, size), at most `count`, in the order of the split.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(train.labels))
    labels = train.labels[shuffled]
    # how many of its class come before each image: taking the lowest first deals the classes out in turns
    turn = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = np.arange(len(members))
    picked = shuffled[np.argsort(turn, kind="stable")[:count]]
    return np.asarray(train.images[np.sort(picked)])


def check_calibration(pixels: npt.NDArray[np.uint8]) -> None:
    """Refuse images that say nothing about a model's activations.

    Raises:
        InputError: there is none, most have one grey value, or all are the same.
    """
    advice = "Preprocess the dataset again, and look at its train images."
    if not len(pixels):
        raise InputError(f"there is no calibration image. {advice}")
    flat = int((pixels.reshape(len(pixels), -1).max(axis=1) == pixels.reshape(len(pixels), -1).min(axis=1)).sum())
    if 2 * flat > len(pixels):
        raise InputError(f"{flat} of the {len(pixels)} calibration images have one grey value. {advice}")
    if len(pixels) > 1 and (pixels == pixels[0]).all():
        raise InputError(f"the {len(pixels)} calibration images are all the same. {advice}")
