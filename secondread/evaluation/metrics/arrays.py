"""What every figure is computed from, and its check.

    probabilities   float (images, classes), rows sum to 1
    labels          int (images,), class indices
    weights         int (draws, images), how often each image counts in each draw; ones: the images as they are

A figure is computed for all draws at once, and an image of weight 2 counts like two copies of it. What the images of a
draw cannot give (the recall of a class that has none) is NaN, and null in JSON; never 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.errors import InputError

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]
BoolArray = npt.NDArray[np.bool_]
Draws = npt.NDArray[np.float64]  # one value a draw: (draws,), or (draws, classes)

_SUM_TOLERANCE = 1e-3  # a float32 softmax over tens of classes is within 1e-5; int8 graphs end in a float softmax too


def check(probabilities: FloatArray, labels: IntArray) -> None:
    """Refuse what is not (images, classes) probabilities with one class index an image.

    Logits are refused: their figures would be wrong without a sign of it.

    Raises:
        InputError: no image, shapes that do not fit, a value outside [0, 1], a row that does not sum to 1 (logits), or
            a label that has no column.
    """
    if probabilities.ndim != 2 or labels.ndim != 1 or len(probabilities) != len(labels):
        raise InputError(
            f"probabilities {probabilities.shape} and labels {labels.shape} do not fit: "
            "give (images, classes) and (images,)."
        )
    images, classes = probabilities.shape
    if images == 0 or classes < 2:
        raise InputError(f"{images} images and {classes} classes cannot be evaluated: at least 1 image and 2 classes.")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels are {labels.dtype}: give class indices as integers.")
    inside = np.isfinite(probabilities).all() and probabilities.min() >= 0 and probabilities.max() <= 1 + _SUM_TOLERANCE
    if not inside or not np.allclose(probabilities.sum(axis=1), 1, atol=_SUM_TOLERANCE):
        raise InputError(
            "these are no probabilities (each row in [0, 1] and summing to 1): apply softmax to logits first."
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"labels run from {labels.min()} to {labels.max()}, but there are {classes} classes.")


def once(images: int) -> npt.NDArray[np.int64]:
    """Weights that take the images as they are, int64 (1, images)."""
    return np.ones((1, images), dtype=np.int64)


def ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Draws:
    """part / whole, both of one shape; NaN where the whole is 0."""
    shares: Draws = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return shares


def mean_of_defined(values: Draws) -> Draws:
    """Mean over the classes for which a figure exists, (draws, classes) to (draws,); NaN where there is none."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1))
