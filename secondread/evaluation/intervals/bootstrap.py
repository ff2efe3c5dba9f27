"""95 % intervals by resampling patients.

Images of one patient are alike, so an interval that resamples images is too narrow. Here whole groups (patients) are
drawn with replacement, and a figure is recomputed on each draw; the interval runs between two percentiles of those.
Source: Efron & Tibshirani 1993, chapter 13 (percentile interval); Field & Welsh 2007 (resampling clusters).

Two kinds of figures have another interval: the calibration error, which chance can only raise (see
`secondread.evaluation.intervals.ece`), and simple shares, which close to 0 and 1 vary too little from draw to draw (see
`secondread.evaluation.intervals.bounds`).

A draw is held as weights, how often each image was drawn, so that all draws are computed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.errors import InputError
from secondread.evaluation.intervals.bounds import UNKNOWN, Interval, percentile, share
from secondread.evaluation.intervals.ece import ece_if_calibrated, ece_interval, gaps_if_calibrated
from secondread.evaluation.metrics.arrays import Draws, FloatArray, IntArray, once
from secondread.evaluation.metrics.by_name import COUNTS, Measured, measure, measure_calibration

_WEIGHTS_AT_ONCE = (
    500_000  # (resamples x images) held at a time: 4 MB, which a processor's cache holds; some such arrays
)


@dataclass(frozen=True)
class Intervals:
    """Bounds of every figure; NaN where they cannot be known, and of all where there are fewer than two patients.

    Attributes:
        overall: by name of `metrics.by_name.OVERALL`.
        by_class: by name of `metrics.by_name.BY_CLASS`, one a class; numbers of images have none.
        ece_if_calibrated: where the calibration error of a perfectly calibrated model would lie on as many images.
        gaps_if_calibrated: likewise the gap of each bin, float64 (bins,): least and greatest.
    """

    overall: Mapping[str, Interval]
    by_class: Mapping[str, tuple[Interval, ...]]
    ece_if_calibrated: Interval
    gaps_if_calibrated: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def group_weights(groups: npt.NDArray[Any], *, resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw groups with replacement, as many as there are.

    Args:
        groups: (images,), which group each image belongs to.
        resamples: number of draws.
        seed: of numpy's PCG64; the same seed gives the same draws.
    Returns:
        int64 (resamples, images): how often each image is in each draw.
    """
    return np.concatenate(list(draws(groups, resamples=resamples, seed=seed)))


def draws(groups: npt.NDArray[Any], *, resamples: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """What `group_weights` gives, in parts that fit into memory, int64 (draws, images); the same whatever they are."""
    at_once = max(1, _WEIGHTS_AT_ONCE // len(groups))
    names, place = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    even = np.full(len(names), 1 / len(names))
    for start in range(0, resamples, at_once):
        counts = rng.multinomial(len(names), even, size=min(at_once, resamples - start))
        yield np.asarray(counts[:, place], dtype=np.int64)


def resampled(
    statistic: Callable[[npt.NDArray[np.int64]], Mapping[str, npt.NDArray[np.float64]]],
    groups: npt.NDArray[Any],
    *,
    resamples: int,
    seed: int,
) -> dict[str, npt.NDArray[np.float64]]:
    """Some statistics of all draws.

    Args:
        statistic: from weights, int64 (draws, images), to arrays by name whose first axis is the draws.
        groups: (images,), the patient of each image.
        resamples: number of draws.
        seed: of the draws.
    Returns:
        The same names, with all draws along the first axis.
    """
    parts = [statistic(weights) for weights in draws(groups, resamples=resamples, seed=seed)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def intervals(
    probabilities: FloatArray,
    labels: IntArray,
    groups: npt.NDArray[Any],
    *,
    resamples: int = 1_000,
    level: float = 0.95,
    seed: int = 0,
    fixed_specificity: float = 0.9,
    fixed_sensitivity: float = 0.9,
) -> Intervals:
    """Intervals of all figures.

    The mean over classes of a draw is that over the classes that the draw has; a class that is missing from all images
    is in none.

    Args:
        probabilities: float (images, classes).
        labels: int (images,).
        groups: (images,), the patient of each image, or the image itself where patients are not known.
        resamples: number of draws; 1,000 gives bounds that move by about 0.001 from seed to seed.
        level: share of draws inside.
        seed: of the draws.
        fixed_specificity: as in `metrics.by_name.measure`.
        fixed_sensitivity: as in `metrics.by_name.measure`.
    Raises:
        InputError: the arrays differ in length.
    """
    if not len(probabilities) == len(labels) == len(groups):
        raise InputError(
            f"{len(probabilities)} predictions, {len(labels)} labels and {len(groups)} groups: lengths differ."
        )

    def of(weights: npt.NDArray[np.int64]) -> Measured:
        return measure(
            probabilities, labels, weights, fixed_specificity=fixed_specificity, fixed_sensitivity=fixed_sensitivity
        )

    plain = of(once(len(labels)))
    units = _units(probabilities, labels, groups)
    calibrated = gaps_if_calibrated(probabilities, draws=resamples, seed=seed)
    overall = dict.fromkeys(plain.overall, UNKNOWN)
    by_class = {name: (UNKNOWN,) * values.shape[1] for name, values in plain.by_class.items() if name not in COUNTS}
    if len(np.unique(groups)) > 1:
        drawn = resampled(lambda weights: _flat(of(weights)), groups, resamples=resamples, seed=seed)
        overall = {
            name: bounded(drawn[name], values[0], level, patients=units[name][0] if name in units else 0)
            for name, values in plain.overall.items()
        }
        overall["ece"] = ece_interval(plain.gaps[0], drawn["gaps"], calibrated, level=level)
        for name in by_class:
            values, count = plain.by_class[name][0], units.get(name, [0] * probabilities.shape[1])
            by_class[name] = tuple(
                bounded(drawn[f"class {name}"][:, index], value, level, patients=count[index])
                for index, value in enumerate(values)
            )
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(calibrated, [tail, 100 - tail], axis=0, method="weibull")
    return Intervals(overall, by_class, ece_if_calibrated(calibrated, level=level), (low, high))


def calibration_intervals(
    probabilities: FloatArray,
    labels: IntArray,
    groups: npt.NDArray[Any],
    *,
    resamples: int = 1_000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """What `intervals` gives for `nll`, `brier` and `ece`, without the time that the others take."""
    if len(np.unique(groups)) < 2:
        return dict.fromkeys(("nll", "brier", "ece"), UNKNOWN)

    def of(weights: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float64]]:
        figures, gaps = measure_calibration(probabilities, labels, weights)
        return {**figures, "gaps": gaps}

    plain = of(once(len(labels)))
    drawn = resampled(of, groups, resamples=resamples, seed=seed)
    calibrated = gaps_if_calibrated(probabilities, draws=resamples, seed=seed)
    found = {name: bounded(drawn[name], plain[name][0], level) for name in ("nll", "brier")}
    return {**found, "ece": ece_interval(plain["gaps"][0], drawn["gaps"], calibrated, level=level)}


def _flat(measured: Measured) -> dict[str, npt.NDArray[np.float64]]:
    by_class = {f"class {name}": values for name, values in measured.by_class.items()}
    return {**measured.overall, **by_class, "gaps": measured.gaps}


def bounded(values: Draws, value: float, level: float, *, patients: int = 0) -> Interval:
    """Percentiles of the draws of a figure; of a simple share no narrower than the exact bounds: `bounds.share`.

    Args:
        values: of the draws, float64 (draws,).
        value: on the images as they are.
        level: of the interval.
        patients: that the figure is a simple share of; 0: it is none.
    Returns:
        Not known where the value is not, or where all draws of what is no simple share are the same: an interval of no
        width would say that nothing else can come.
    """
    if np.isnan(value):
        return UNKNOWN
    if patients:
        return share(values, float(value), level, patients=patients)
    found = percentile(values, level)
    return found if found.low < found.high else UNKNOWN


def _units(probabilities: FloatArray, labels: IntArray, groups: npt.NDArray[Any]) -> dict[str, list[int]]:
    """Patients that each simple share is of: one number, or one a class."""
    predicted, classes = probabilities.argmax(axis=1), range(probabilities.shape[1])

    def patients(chosen: list[npt.NDArray[np.bool_]]) -> list[int]:
        return [len(np.unique(groups[each])) for each in chosen]

    positive = patients([labels == index for index in classes])
    negative = patients([labels != index for index in classes])
    return {
        "accuracy": patients([np.ones(len(labels), dtype=bool)]),
        "precision": patients([predicted == index for index in classes]),
        "recall": positive,
        "sensitivity_at_specificity": positive,
        "specificity": negative,
        "specificity_at_sensitivity": negative,
    }
