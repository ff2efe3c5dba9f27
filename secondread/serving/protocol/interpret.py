"""From the graph's figures to words: label, confidence, urgency, and whether the image belongs here at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondread.errors import DependencyError
from secondread.model.folder import ModelConfigFile


@dataclass(frozen=True)
class Interpretation:
    """What is said of some images, one element or row each.

    Attributes:
        labels: names of the most probable classes.
        probabilities: float32 (images, classes), calibrated, rows sum to 1.
        confidence: float32 (images,), the largest probability of each row.
        urgency: that of each label: urgent, routine or unknown; unknown where the image is out of distribution, since
            a label that means nothing must not put a patient at the end of the queue.
        out_of_distribution: bool (images,), True where the image is unlike those that the model was trained for.
    """

    labels: list[str]
    probabilities: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    urgency: list[str]
    out_of_distribution: npt.NDArray[np.bool_]


def interpret(
    probabilities: npt.NDArray[np.float32], ood_score: npt.NDArray[np.float32], config: ModelConfigFile
) -> Interpretation:
    """Read the figures with the classes and thresholds of the model that gave them.

    Args:
        probabilities: float32 (images, classes).
        ood_score: float32 (images,).
        config: of that very model.
    Raises:
        DependencyError: a figure is no number: the graph overflowed, and says nothing of any image.
    """
    if not (np.isfinite(probabilities).all() and np.isfinite(ood_score).all()):
        raise DependencyError(
            "the model's figures are no numbers: nothing is read with it. Serve another version of it."
        )
    classes = [config.taxonomy.classes[index] for index in probabilities.argmax(axis=1)]
    outside = ood_score > config.thresholds.out_of_distribution
    return Interpretation(
        labels=[info.name for info in classes],
        probabilities=probabilities,
        confidence=probabilities.max(axis=1),
        urgency=["unknown" if out else info.urgency for info, out in zip(classes, outside, strict=True)],
        out_of_distribution=outside,
    )


def map_of_read_class(
    saliency: npt.NDArray[np.float32],
    *,
    explained: npt.NDArray[np.float32],
    read: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Where the model looked for the class that was read.

    The graph that explains is the exported one, and what reads may have been made faster: they name another class for
    few images, and a map for that one would be taken for a reason of the reading.

    Args:
        saliency: float32 (images, size, size), of the graph that explains.
        explained: float32 (images, classes), its probabilities.
        read: float32 (images, classes), those of the reading.
    Returns:
        The same; 0 everywhere for an image of which the two name another class.
    """
    same = (explained.argmax(axis=1) == read.argmax(axis=1))[:, np.newaxis, np.newaxis]
    return np.where(same, saliency, np.float32(0))
