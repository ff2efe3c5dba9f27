"""How far a measured calibration error can be from the true one, and what a perfectly calibrated model would show.

The calibration error is a mean of sizes, so chance cannot cancel in it: a perfect model measures 0.1 on 150 images.
Resampled errors have that chance twice, and their percentiles lie above the truth. The interval here follows from what
chance can do at most. Let a bin's measured gap be its true one and an error, g = t + e. Then

    mean |g|  <=  mean |t| + mean |e|            so the truth is at least   measured - mean |e|
    mean |g|  >=  mean sign(t) (t + e)           so the truth is at most    measured + |mean sign(t) e|

The errors' sizes come from resampled patients, and are at least those of a calibrated model: bins without a mistake do
not vary when resampled. The signs are taken as all alike, which is the worst case where patients have images in several
bins. The interval holds the truth at least as often as it says, from above tightly, and from below loosely.

What a perfectly calibrated model of the same confidences would measure on as many images is drawn: labels from its own
probabilities. A measured error inside of that is no sign of a fault, and no proof of its absence either.
Source: Broecker & Smith 2007, doi:10.1175/WAF993.1 (labels from the forecast); the inequalities are the triangle's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from secondread.evaluation.intervals.bounds import Interval, percentile
from secondread.evaluation.metrics.arrays import FloatArray, once
from secondread.evaluation.metrics.calibration import BINS, confidence_of, ece_of_gaps, gaps_of

_ANSWERS_AT_ONCE = 500_000  # (draws x images) held at a time: 4 MB, and some such arrays


def gaps_if_calibrated(
    probabilities: FloatArray, *, draws: int, seed: int, bins: int = BINS
) -> npt.NDArray[np.float64]:
    """Gaps of the bins where every confidence is exactly as often right as it says.

    Images are drawn independently: what those of one patient have in common is not in it.

    Args:
        probabilities: float (images, classes).
        draws: of labels.
        seed: of numpy's PCG64.
        bins: as in the error.
    Returns:
        float64 (draws, bins).
    """
    confidence, rng, found = confidence_of(probabilities), np.random.default_rng(seed), []
    at_once = max(1, _ANSWERS_AT_ONCE // len(confidence))
    for start in range(0, draws, at_once):
        right = rng.random((min(at_once, draws - start), len(confidence))) < confidence
        found.append(gaps_of(confidence, right, once(len(confidence)), bins=bins))
    return np.concatenate(found)


def ece_interval(
    measured: npt.NDArray[np.float64],
    resampled: npt.NDArray[np.float64],
    calibrated: npt.NDArray[np.float64],
    *,
    level: float,
) -> Interval:
    """Interval of the true calibration error, in [0, 1]; it holds the measured one.

    Args:
        measured: gaps of the bins, float64 (bins,).
        resampled: of draws of patients, float64 (draws, bins).
        calibrated: of a calibrated model, float64 (draws, bins).
        level: how often at least it holds the truth.
    """
    value = float(np.abs(measured).mean())
    errors = (resampled - measured, calibrated)
    upper = 100 * (1 + level) / 2
    noise = max(float(np.percentile(np.abs(each).mean(axis=1), upper)) for each in errors)
    shift = max(float(np.percentile(np.abs(each.mean(axis=1)), 100 * level)) for each in errors)
    return Interval(max(0.0, value - noise), min(1.0, value + shift))


def ece_if_calibrated(calibrated: npt.NDArray[np.float64], *, level: float) -> Interval:
    """Where the measured error of a perfectly calibrated model lies, from its gaps, float64 (draws, bins)."""
    return percentile(ece_of_gaps(calibrated), level)
