"""Two numbers that make confidences honest without changing any answer: a temperature, and a power of the margins.

    probabilities = softmax(-((z_top - z) / temperature) ** margin_power)

With a power of 1 that is temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks", section
4.2). A temperature makes all answers surer, or none: it cannot mend a network that, having learned from mixtures of
images, says 0.96 where it is right in 99 of 100 and 0.6 where it is right in 47. A power above 1 takes small margins
for less and large ones for more. Both keep the order of the classes of every image: the map is one of the
intra-order-preserving functions of Rahimi et al. 2020, arXiv:2003.06820.

The targets are those of Platt 1999, section 2.2, so that a val split without a mistake does not make the model sure
beyond all measure; and the logarithm of the power is drawn to 0, with a deviation of 0.5, so that a hundred images move
it less than a thousand do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax

# Outside of these a temperature says that something else is wrong: nearly one-hot, or nearly uniform answers.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
MAX_POWER = 3.0  # and its inverse: beyond it the map is nearly a step
_DEVIATION = 0.5  # of the logarithm of the power, before val is seen


@dataclass(frozen=True)
class Scaling:
    """From logits to probabilities.

    Attributes:
        temperature: in [0.05, 20]; above 1 where the logits are too sure of themselves.
        margin_power: in [1/3, 3]; above 1 where they are so with small margins, and too modest with large ones.
    """

    temperature: float
    margin_power: float


def fit_scaling(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]) -> Scaling:
    """The scaling with the least cross-entropy with the labels.

    Of n images, (n + 1) / (n + 2) of each target is on its label and the rest on the other classes: what one may
    believe after n right answers. From some hundred images on it changes little where there are mistakes.

    Args:
        logits: float (images, classes), of images that were not trained on; at least two classes.
        labels: int (images,), class indices.
    """
    wide = logits.astype(np.float64)
    images, classes = wide.shape
    margins = wide.max(axis=1, keepdims=True) - wide
    targets = np.full(wide.shape, 1 / ((images + 2) * (classes - 1)))
    targets[np.arange(images), labels] = (images + 1) / (images + 2)

    def loss(logarithms: npt.NDArray[np.float64]) -> float:
        temperature, power = np.exp(logarithms)
        entropy = -(targets * log_softmax(-((margins / temperature) ** power), axis=1)).sum()
        return float((entropy + logarithms[1] ** 2 / (2 * _DEVIATION**2)) / images)

    bounds = [(math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)), (-math.log(MAX_POWER), math.log(MAX_POWER))]
    # of all starts the best: one valley is proven for a power of 1 alone
    found = min(
        (
            minimize(loss, np.log(start), bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-12, "gtol": 1e-8})
            for start in ((1.0, 1.0), (0.2, 1.0), (5.0, 1.0))
        ),
        key=lambda tried: float(tried.fun),
    )
    temperature, power = np.exp(found.x)
    return Scaling(float(temperature), float(power))
