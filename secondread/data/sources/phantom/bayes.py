"""The best accuracy that any classifier can reach on a phantom source, and the classifier that reaches it.

Let a be an image's amounts, c its true class and y its label. The label is wrong with probability e, and is then any
other of the modality's K classes alike:

    p(y | a) = (1 - e) p(c = y | a) + e (1 - p(c = y | a)) / (K - 1)

Pixels are drawn from a and from things that do not depend on c, so no function of one image's pixels beats the best
function of a (data processing inequality). That one names the largest p(y | a), hence its expected accuracy is

    best = E_a [ max_y p(y | a) ]

which is 1 - e where classes do not overlap, and less by what they overlap. The modality is plain to see, so that the
whole is the mean over modalities, weighted by their share of the classes. The expectation is taken by Monte Carlo
over a with a fixed seed; `max p` itself is exact for each draw, which keeps the error below TOLERANCE.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from secondread.data.sources.phantom.latents import DEVIATION, LARGEST, MEANS, MODALITY_OF, Array, posterior
from secondread.data.sources.phantom.spec import PhantomSpec

TOLERANCE = 0.001  # of best_reachable_accuracy; more than four standard errors
_DRAWS = 200_000  # amounts per modality


def label_posterior(amounts: Array, classes: tuple[str, ...], *, wrong_labels: float) -> Array:
    """p(label | amounts), wrong labels counted in.

    Args:
        amounts: float64 (images, patterns).
        classes: of one modality, those that the source has.
        wrong_labels: share in [0, 0.5]; without effect where there is only one class to name.
    Returns:
        float64 (images, classes), rows sum to 1.
    """
    true = posterior(amounts, classes)
    if len(classes) == 1:
        return true
    return np.asarray((1 - wrong_labels) * true + wrong_labels * (1 - true) / (len(classes) - 1))


def bayes_classify(amounts: Array, classes: tuple[str, ...]) -> npt.NDArray[np.intp]:
    """The most probable class of each image: intp (images,), indices into `classes`.

    Wrong labels do not change it: below a share of (K - 1) / K they are a rising function of the posterior.
    """
    return np.asarray(posterior(amounts, classes).argmax(axis=1))


def best_reachable_accuracy(spec: PhantomSpec) -> float:
    """The expected accuracy of the best possible classifier against the labels that the source gives.

    Args:
        spec: which classes there are and how many labels are wrong; size and number of images do not matter.
    Returns:
        Share in (0, 1], right within TOLERANCE.
    """
    total = 0.0
    for modality in spec.modalities:
        classes = spec.classes_of(modality)
        total += len(classes) * _best_of_modality(classes, spec.wrong_labels)
    return total / len(spec.classes)


@lru_cache(maxsize=64)
def _best_of_modality(classes: tuple[str, ...], wrong_labels: float) -> float:
    rng = np.random.default_rng(20_011)
    share = _DRAWS // len(classes)
    amounts = np.concatenate([_many_amounts(name, share, rng) for name in classes])
    return float(label_posterior(amounts, classes, wrong_labels=wrong_labels).max(axis=1).mean())


def _many_amounts(class_name: str, images: int, rng: np.random.Generator) -> Array:
    """As `draw_amounts`, for many images at once."""
    means = np.array(MEANS[MODALITY_OF[class_name]][class_name])
    amounts = np.full((images, len(means)), -1.0)
    while (outside := (amounts < 0) | (amounts > LARGEST)).any():
        proposal = means + DEVIATION * rng.standard_normal(amounts.shape)
        amounts = np.where(outside, proposal, amounts)
    return amounts
