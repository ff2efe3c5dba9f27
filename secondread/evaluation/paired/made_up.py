"""Two made-up patients more, one whom the challenger alone reads rightly and one whom the champion alone does.

Where two models differ on a handful of images, an interval from those alone is too sure. One pair more on each side
mends that, and is next to nothing where they differ on many.
Source: Bonett & Price 2012, doi:10.3102/1076998611411915 (difference of two shares of the same patients).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secondread.evaluation.metrics.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Everybody:
    """The images, and after them those of the made-up patients.

    Attributes:
        models: probabilities of champion and challenger, float (images, classes) each.
        labels: int (images,).
        patients: int (images,), from 0 without gaps; the last two are made up.
        sizes: float64 (images,), how many images each stands for: 1, and of a made-up one what patients have on average
            of its class.
    """

    models: tuple[FloatArray, ...]
    labels: IntArray
    patients: IntArray
    sizes: npt.NDArray[np.float64]


def with_made_up(models: Sequence[FloatArray], labels: IntArray, patients: IntArray) -> Everybody:
    """Add the two, each with as many images of each class as the others have on average.

    Args:
        models: probabilities of champion and challenger, float (images, classes).
        labels: int (images,).
        patients: int (images,), from 0 without gaps.
    """
    classes, count = models[0].shape[1], int(patients.max()) + 1
    right = np.eye(classes, dtype=models[0].dtype)
    wrong = np.roll(right, 1, axis=1)  # surely the next class
    answers = ([wrong, right], [right, wrong])
    sizes = np.bincount(labels, minlength=classes) / count
    return Everybody(
        models=tuple(np.concatenate([said, *more]) for said, more in zip(models, answers, strict=True)),
        labels=np.concatenate([labels, *2 * [np.arange(classes)]]),
        patients=np.concatenate([patients, np.repeat([count, count + 1], classes)]),
        sizes=np.concatenate([np.ones(len(labels)), sizes, sizes]),
    )
