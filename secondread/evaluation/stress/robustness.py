"""What breaks the model: the same images, corrupted in ten ways and five strengths, and what that does to its answers.

Each figure is compared with that of the same images as they are, and the difference is resampled by patient: what makes
an image hard makes it hard when corrupted too, so that a difference is known far better than either figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.config.robustness import RobustnessConfig
from secondread.errors import InputError
from secondread.evaluation.intervals import bootstrap
from secondread.evaluation.intervals.bounds import Interval, percentile
from secondread.evaluation.metrics.arrays import FloatArray, IntArray, check
from secondread.evaluation.nulls import null_for_nan
from secondread.evaluation.stress.answers import Predict, answers
from secondread.evaluation.stress.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from secondread.evaluation.stress.sample import stratified
from secondread.progress import track

FIGURES = ("accuracy", "balanced_accuracy", "ece", "confidence")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """One figure of corrupted images, beside that of the same images as they are.

    Attributes:
        value: on the corrupted images.
        difference: value - that of the images as they are.
        low, high: interval of `difference` by patient; NaN where it cannot be known, such as where no draw differs.
    """

    value: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Robustness:
    """What was found.

    Attributes:
        n: images tried, of those there are.
        patients: among them, or images where patients are not known.
        level: of the intervals.
        clean: figures of the images as they are: accuracy, balanced accuracy, expected calibration error (bins of equal
            mass) and mean confidence, all in [0, 1].
        corruptions: by corruption, for strengths 1 to 5, the same figures.
    """

    n: int
    patients: int
    level: float
    clean: Mapping[str, float]
    corruptions: Mapping[str, tuple[Mapping[str, Change], ...]]

    def mean_loss(self, corruption: str) -> float:
        """Accuracy that is lost on average over the strengths."""
        return -float(np.mean([figures["accuracy"].difference for figures in self.corruptions[corruption]]))

    def costs_from(self, corruption: str) -> int | None:
        """The strength from which on it costs accuracy: there and at each stronger one, by more than chance.

        None where not even the strongest does. One strength among weaker and stronger ones that cost nothing is what
        some fifty looks give by chance.
        """
        lasting = None
        for strength, figures in reversed(list(zip(STRENGTHS, self.corruptions[corruption], strict=True))):
            if not self._costs(figures["accuracy"]):
                break
            lasting = strength
        return lasting

    def _costs(self, accuracy: Change) -> bool:
        # all draws agree on a loss where each patient loses as much: no interval, and yet no doubt
        agreed = math.isnan(accuracy.high) and accuracy.difference < 0 and self.patients > 1
        return accuracy.high < 0 or agreed

    def to_json(self) -> dict[str, Any]:
        """As JSON; what cannot be known is null."""
        document: dict[str, Any] = null_for_nan(asdict(self))
        losses = {name: self.mean_loss(name) for name in self.corruptions}
        return document | {"mean_loss": losses}


def measure_robustness(
    predict: Predict,
    images: npt.NDArray[np.uint8],
    labels: IntArray,
    patients: npt.NDArray[Any],
    *,
    config: RobustnessConfig | None = None,
    names: Sequence[str] = tuple(CORRUPTIONS),
) -> Robustness:
    """Run a model over some of the images, as they are and in every corruption and strength.

    Args:
        predict: from uint8 (batch, 1, height, width) to probabilities, float (batch, classes).
        images: uint8 (images, 1, height, width), the model's pixels.
        labels: int (images,), class indices.
        patients: (images,), the patient of each image, or the image itself where patients are not known.
        config: how many images, and the draws.
        names: of corruptions.
    Raises:
        InputError: the arrays differ in length or are empty, there is no such corruption, or `predict` gives no
            probabilities.
    """
    config = config or RobustnessConfig()
    if not len(images) == len(labels) == len(patients) or not len(labels):
        raise InputError(
            f"{len(images)} images, {len(labels)} labels and {len(patients)} patients: give as many of each, and some."
        )
    chosen = stratified(labels, at_most=config.images_at_most, seed=config.seed)
    images, labels, patients = np.ascontiguousarray(images[chosen]), labels[chosen], patients[chosen]
    rounds = [("", 0), *((name, strength) for name in names for strength in STRENGTHS)]
    probabilities = []
    for name, strength in track(rounds, "running corrupted images", total=len(rounds)):
        corrupted = corrupt(images, name, strength, seed=config.seed) if name else images
        probabilities.append(answers(predict, corrupted, batch_size=config.batch_size))
    check(probabilities[0], labels)
    figures = _Figures.of(probabilities, labels, patients, config)
    clean = {name: float(figures.values[name][0]) for name in FIGURES}
    per_name = len(STRENGTHS)
    return Robustness(
        n=len(labels),
        patients=len(np.unique(patients)),
        level=config.level,
        clean=clean,
        corruptions={
            name: tuple(figures.changes(1 + index * per_name + place) for place in range(per_name))
            for index, name in enumerate(names)
        },
    )


@dataclass(frozen=True)
class _Figures:
    """Figures of all rounds, the first being that of the images as they are.

    Attributes:
        values: name to float64 (rounds,).
        intervals: name to one a round, of the difference from the first.
    """

    values: Mapping[str, Floats]
    intervals: Mapping[str, list[Interval]]

    @classmethod
    def of(
        cls, probabilities: Sequence[FloatArray], labels: IntArray, patients: npt.NDArray[Any], config: RobustnessConfig
    ) -> _Figures:
        """Take every figure on the images, and in draws that all rounds share."""
        confidence = np.stack([each.max(axis=1) for each in probabilities]).astype(np.float64)  # (rounds, images)
        right = np.stack([each.argmax(axis=1) == labels for each in probabilities])
        bins = np.stack([_equal_mass(row, config.ece_bins) for row in confidence])

        def take(weights: Floats) -> dict[str, Floats]:
            return _figures(weights, confidence, right, bins, labels)

        values = {name: found[0] for name, found in take(np.ones((1, len(labels)))).items()}
        drawn: dict[str, list[Floats]] = {name: [] for name in FIGURES}
        if len(np.unique(patients)) > 1:
            for part in bootstrap.draws(patients, resamples=config.resamples, seed=config.seed):
                for name, found in take(part.astype(np.float64)).items():
                    drawn[name].append(found - found[:, :1])
        intervals = {name: _intervals(parts, len(probabilities), config.level) for name, parts in drawn.items()}
        return cls(values, intervals)

    def changes(self, place: int) -> dict[str, Change]:
        """The figures of one round."""
        return {
            name: Change(
                value=float(values[place]),
                difference=float(values[place] - values[0]),
                low=self.intervals[name][place].low,
                high=self.intervals[name][place].high,
            )
            for name, values in self.values.items()
        }


def _figures(
    weights: Floats,
    confidence: Floats,
    right: npt.NDArray[np.bool_],
    bins: npt.NDArray[np.int64],
    labels: IntArray,
) -> dict[str, Floats]:
    """Every figure in each draw and round, float64 (draws, rounds).

    Args:
        weights: (draws, images), how often each image was drawn.
        confidence: (rounds, images), probability of the answer.
        right: (rounds, images).
        bins: (rounds, images), the bin of each image's confidence.
        labels: (images,).
    """
    total = weights.sum(axis=1, keepdims=True)
    hits = right.T.astype(np.float64)
    recalls = []
    for label in np.unique(labels):
        inside = weights[:, labels == label]
        images = inside.sum(axis=1, keepdims=True)
        found = inside @ hits[labels == label]
        recalls.append(np.divide(found, images, out=np.full(found.shape, np.nan), where=images > 0))
    known = np.stack(recalls)  # a class that a draw lacks is left out of it
    defined = ~np.isnan(known)
    gaps = sum(
        np.abs(weights @ np.where(bins == index, right - confidence, 0.0).T) for index in range(int(bins.max()) + 1)
    )
    return {
        "accuracy": weights @ hits / total,
        "balanced_accuracy": np.where(defined, known, 0.0).sum(axis=0) / defined.sum(axis=0),
        "ece": np.asarray(gaps, dtype=np.float64) / total,
        "confidence": weights @ confidence.T / total,
    }


def _equal_mass(confidence: Floats, bins: int) -> npt.NDArray[np.int64]:
    """The bin of each image, (images,), so that bins are equally full; equal confidences share one.

    Source: Nguyen & O'Connor 2015, arXiv:1508.05154, section 3 (adaptive binning).
    """
    ordered = np.sort(confidence)
    rank = np.searchsorted(ordered, confidence, side="left")
    return np.asarray(rank * bins // len(confidence), dtype=np.int64)


def _intervals(parts: Sequence[Floats], rounds: int, level: float) -> list[Interval]:
    """One a round. One of no width, where no draw differs, would promise that no further image does."""
    nothing = Interval(np.nan, np.nan)
    if not parts:
        return [nothing] * rounds
    bounds = [percentile(column, level) for column in np.concatenate(parts).T]
    return [each if each.low < each.high else nothing for each in bounds]
