"""The thresholds that belong to a graph, from what it says of val: whom to doubt, whom to turn away, what not to miss.

Of each class there is one that keeps a chosen sensitivity: whose finding must not be missed is not called by argmax. It
is chosen on val and checked on other images. With n patients on val who have the class, the threshold is the one that
all such images of a further patient like them reach with at least the chosen probability, on average over val sets: one
more is counted than was seen. Images of one patient are alike, so each patient counts once, with the lowest. So it is a
little lower than the quantile of val, and where val has too few patients no threshold keeps the promise.
Source: Sadinle, Lei & Wasserman 2019, doi:10.1080/01621459.2017.1395341 (class-conditional coverage).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.evaluation.intervals.bootstrap import bounded, resampled
from secondread.evaluation.intervals.bounds import Interval
from secondread.evaluation.metrics.arrays import Draws, FloatArray, IntArray, once, ratio
from secondread.model.folder import Thresholds
from secondread.model.session import Outputs

_ROUNDING = 1e-9  # (1 - 0.9) * 10 is below 1 by rounding alone


def fit_thresholds(
    outputs: Outputs,
    labels: IntArray,
    groups: npt.NDArray[Any],
    classes: Sequence[str],
    *,
    abstain_share: float,
    turned_away_share: float,
    sensitivity: float | None,
) -> Thresholds:
    """All thresholds of a graph.

    Args:
        outputs: what it says of val; training images lie closer than any new image does.
        labels: int (images,).
        groups: (images,), the patient of each image.
        classes: names in the order of the probabilities.
        abstain_share: in [0, 1], of val that is less confident than `abstain`.
        turned_away_share: in [0, 1], of val that scores above `out_of_distribution`.
        sensitivity: in (0, 1), that the classes' thresholds keep; None: there are none.
    """
    probabilities = outputs.probabilities
    return Thresholds(
        abstain=float(np.quantile(probabilities.max(axis=1), abstain_share)),
        out_of_distribution=float(np.quantile(outputs.ood_score, 1 - turned_away_share)),
        sensitivity=sensitivity,
        by_class={}
        if sensitivity is None
        else choose_thresholds(probabilities, labels, groups, classes, sensitivity=sensitivity),
    )


def carried_over(
    thresholds: Thresholds,
    before: Outputs,
    after: Outputs,
    labels: IntArray,
    groups: npt.NDArray[Any],
    classes: Sequence[str],
) -> Thresholds:
    """The thresholds of another graph of the same model, which doubt and turn away as large shares of val as before.

    One that sets none of val aside, or all of it, stays as it is.

    Args:
        thresholds: of the one graph.
        before: what that one says of val.
        after: what the other says of it.
        labels: int (images,).
        groups: (images,), the patient of each image.
        classes: names in the order of the probabilities.
    """
    doubted = float((before.probabilities.max(axis=1) < thresholds.abstain).mean())
    turned_away = float((before.ood_score > thresholds.out_of_distribution).mean())
    found = fit_thresholds(
        after,
        labels,
        groups,
        classes,
        abstain_share=doubted,
        turned_away_share=turned_away,
        sensitivity=thresholds.sensitivity,
    )
    # a limit that val does not reach, or never keeps, has no place among its scores
    return replace(
        found,
        abstain=found.abstain if 0 < doubted < 1 else thresholds.abstain,
        out_of_distribution=found.out_of_distribution if 0 < turned_away < 1 else thresholds.out_of_distribution,
    )


def choose_thresholds(
    probabilities: FloatArray,
    labels: IntArray,
    groups: npt.NDArray[Any],
    classes: Sequence[str],
    *,
    sensitivity: float,
) -> dict[str, float]:
    """The highest threshold of each class that keeps the sensitivity.

    Args:
        probabilities: float (images, classes), of val.
        labels: int (images,).
        groups: (images,), the patient of each image.
        classes: names in the order of the columns.
        sensitivity: in (0, 1).
    Returns:
        Probability by class, in [0, 1], from which an image counts as of that class. A class with fewer than
        sensitivity / (1 - sensitivity) patients (9 for 0.9) is left out: no threshold can be promised.
    """
    found = {}
    for index, name in enumerate(classes):
        having = labels == index
        known, place_of = np.unique(groups[having], return_inverse=True)
        lowest = np.full(len(known), np.inf)
        np.minimum.at(lowest, place_of, probabilities[having, index])
        rising = np.sort(lowest)
        place = math.floor((1 - sensitivity) * (len(rising) + 1) + _ROUNDING) - 1
        if place >= 0:
            found[name] = float(rising[place])
    return found


def reached(
    positive: npt.NDArray[np.bool_],
    called: npt.NDArray[np.bool_],
    groups: npt.NDArray[Any],
    *,
    resamples: int,
    level: float,
    seed: int,
) -> Mapping[str, tuple[float, Interval]]:
    """What a threshold comes to on some images.

    Args:
        positive: bool (images,), has the class.
        called: bool (images,), is at or above the threshold.
        groups: (images,), the patient of each image.
        resamples: draws of patients.
        level: of the intervals.
        seed: of the draws.
    Returns:
        `sensitivity` and `specificity`, each with its interval; NaN where the images cannot tell.
    """

    def of(weights: npt.NDArray[np.int64]) -> dict[str, Draws]:
        shares = {"sensitivity": (positive, called), "specificity": (~positive, ~called)}
        return {
            name: ratio(weights @ (whole & part).astype(float), weights @ whole.astype(float))
            for name, (whole, part) in shares.items()
        }

    values = of(once(len(positive)))
    patients = {"sensitivity": len(np.unique(groups[positive])), "specificity": len(np.unique(groups[~positive]))}
    drawn = resampled(of, groups, resamples=resamples, seed=seed) if len(np.unique(groups)) > 1 else values
    return {
        name: (float(value[0]), bounded(drawn[name], value[0], level, patients=patients[name]))
        for name, value in values.items()
    }
