"""Asking a model about images, whatever it is that runs it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from secondread.evaluation.metrics.arrays import FloatArray, check

# from uint8 (batch, 1, height, width) to probabilities, float (batch, classes) with rows that sum to 1
Predict = Callable[[npt.NDArray[np.uint8]], FloatArray]


def answers(predict: Predict, images: npt.NDArray[np.uint8], *, batch_size: int) -> FloatArray:
    """Ask about images, a batch at a time.

    Args:
        predict: the model.
        images: uint8 (images, 1, height, width), one at least.
        batch_size: images at a time.
    Returns:
        float (images, classes), as `predict` gives it.
    Raises:
        InputError: these are no probabilities.
    """
    parts = [predict(images[start : start + batch_size]) for start in range(0, len(images), batch_size)]
    probabilities = np.concatenate(parts)
    check(probabilities, np.zeros(len(images), np.int64))
    return probabilities
