"""What a picture shows, as numbers: how much there is of each pattern, and what that says about the class.

An image of class c has one amount per pattern of its modality (0 none, 1 fully developed). The amounts are
independent of each other, each drawn from a normal distribution around the class's mean, truncated to [0, 1.6]:

    p(a | c) = prod_j  phi((a_j - m_cj) / s) / (s * Z(m_cj)),   Z(m) = Phi((1.6 - m) / s) - Phi((0 - m) / s)

Classes of a modality are equally frequent, so that the posterior is known in closed form:

    p(c | a) = p(a | c) / sum over the classes k of p(a | k)

Means lie so close that the distributions overlap: a mild covid looks like a viral pneumonia, a faint drusen like a
normal retina. Nothing else that is drawn (anatomy, place, side, exposure, noise) depends on the class.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Amounts = tuple[float, ...]
Array = npt.NDArray[np.float64]

PATTERNS: dict[str, tuple[str, ...]] = {
    "cxr": ("ground_glass", "consolidation", "interstitial", "apical"),
    "oct": ("membrane", "cysts", "drusen"),
}

# Mean amount of each pattern, in the order of PATTERNS.
MEANS: dict[str, dict[str, Amounts]] = {
    "cxr": {
        "cxr-covid": (1.0, 0.15, 0.4, 0.0),
        "cxr-normal": (0.0, 0.0, 0.0, 0.0),
        "cxr-opacity": (0.2, 1.0, 0.0, 0.15),
        "cxr-viral-pneumonia": (0.4, 0.0, 1.0, 0.0),
        "cxr-tuberculosis": (0.0, 0.4, 0.2, 1.0),
    },
    "oct": {
        "oct-cnv": (1.0, 0.4, 0.3),
        "oct-dme": (0.15, 1.0, 0.0),
        "oct-drusen": (0.25, 0.0, 1.0),
        "oct-normal": (0.0, 0.0, 0.0),
    },
}
DEVIATION = 0.23  # of an amount before truncation, the same for all; sets how much the classes overlap
LARGEST = 1.6  # amount; three deviations above the largest mean


MODALITY_OF = {name: modality for modality, means in MEANS.items() for name in means}


def draw_amounts(class_name: str, rng: np.random.Generator) -> Amounts:
    """Draw the amounts of one image.

    Args:
        class_name: its true class.
        rng: advanced by as many draws as it takes.
    Returns:
        One number in [0, 1.6] per pattern of the class's modality.
    """
    return tuple(_truncated(mean, rng) for mean in MEANS[MODALITY_OF[class_name]][class_name])


def _truncated(mean: float, rng: np.random.Generator) -> float:
    while True:  # ends: at least half of the draws are inside, since every mean is
        amount = mean + DEVIATION * float(rng.standard_normal())
        if 0.0 <= amount <= LARGEST:
            return amount


def log_likelihood(amounts: Array, classes: tuple[str, ...]) -> Array:
    """Log of p(a | c), less a constant that all classes share.

    Args:
        amounts: float64 (images, patterns), each in [0, 1.6].
        classes: of one modality.
    Returns:
        float64 (images, classes).
    """
    means = np.array([MEANS[MODALITY_OF[name]][name] for name in classes])
    log_z = np.array([sum(math.log(_mass_inside(mean)) for mean in row) for row in means.tolist()])
    distance = ((amounts[:, None, :] - means[None, :, :]) / DEVIATION) ** 2
    return np.asarray(-0.5 * distance.sum(axis=2) - log_z)


def posterior(amounts: Array, classes: tuple[str, ...]) -> Array:
    """p(true class | amounts), the classes being equally frequent.

    Args:
        amounts: float64 (images, patterns).
        classes: of one modality, those that the source has.
    Returns:
        float64 (images, classes), rows sum to 1.
    """
    logs = log_likelihood(amounts, classes)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _mass_inside(mean: float) -> float:
    """Z(m): how much of the normal distribution lies in [0, 1.6]."""
    return _normal_cdf((LARGEST - mean) / DEVIATION) - _normal_cdf((0.0 - mean) / DEVIATION)


def _normal_cdf(value: float) -> float:
    return 0.5 * (1.0 + math.erf(value / math.sqrt(2.0)))
