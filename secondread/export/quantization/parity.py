"""How much two graphs of one model differ in what they answer. No torch here: both are run as they are served."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secondread.errors import InputError
from secondread.model.session import Outputs


@dataclass(frozen=True)
class Parity:
    """One graph compared with another on the same images.

    Attributes:
        same_label: share of images that get the same class, in [0, 1].
        probability_difference_max: largest difference of any probability, in [0, 1].
        probability_difference_mean: mean difference of a probability, in [0, 1].
        out_of_distribution_changed: share of images that one turns away and the other does not, each by its own
            threshold, in [0, 1].
    """

    same_label: float
    probability_difference_max: float
    probability_difference_mean: float
    out_of_distribution_changed: float


def compare(reference: Outputs, candidate: Outputs, *, out_of_distribution: tuple[float, float]) -> Parity:
    """Compare what two graphs say of the same images.

    Args:
        reference: of the graph to be matched, fp32.
        candidate: of the other.
        out_of_distribution: threshold of `ood_score` of each.
    Raises:
        InputError: the two are not of the same images and classes.
    """
    one, other = reference.probabilities, candidate.probabilities
    if one.shape != other.shape:
        raise InputError(f"outputs {one.shape} and {other.shape} cannot be compared: run the same images through both.")
    difference = np.abs(one - other)
    flags = (reference.ood_score > out_of_distribution[0], candidate.ood_score > out_of_distribution[1])
    return Parity(
        same_label=float((one.argmax(axis=1) == other.argmax(axis=1)).mean()),
        probability_difference_max=float(difference.max()),
        probability_difference_mean=float(difference.mean()),
        out_of_distribution_changed=float((flags[0] != flags[1]).mean()),
    )
