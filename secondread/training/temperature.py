"""Temperature scaling: one number that makes confidences honest without changing any answer.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2; with the targets of Platt 1999,
section 2.2, so that a val split without a mistake does not make the model sure beyond all measure.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

# Outside of these a temperature says that something else is wrong: nearly one-hot, or nearly uniform answers.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0


def fit_temperature(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]) -> float:
    """The temperature T for which softmax(logits / T) has the least cross-entropy with the labels.

    Of n images, (n + 1) / (n + 2) of each target is on its label and the rest on the other classes: what one may
    believe after n right answers. From some hundred images on it changes little where there are mistakes.

    Args:
        logits: float (images, classes), of images that were not trained on; at least two classes.
        labels: int (images,), class indices.
    Returns:
        T in [0.05, 20]; above 1 where the logits are too sure of themselves.
    """
    wide = logits.astype(np.float64)
    images, classes = wide.shape
    targets = np.full(wide.shape, 1 / ((images + 2) * (classes - 1)))
    targets[np.arange(images), labels] = (images + 1) / (images + 2)

    def loss(log_temperature: float) -> float:
        return float(-(targets * log_softmax(wide / math.exp(log_temperature), axis=1)).sum(axis=1).mean())

    # convex in 1 / T, so it has one valley in log T as well, and a bounded search finds it
    bounds = (math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE))
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-5}).x)
