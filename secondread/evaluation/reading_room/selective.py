"""How often the model is wrong where it answers, if it may be silent where it is least confident.

Coverage is the share of images that are answered, risk the share of wrong answers among them. The curve runs over all
thresholds of the confidence, and its area is the mean risk over the images' own thresholds: the smaller, the better the
confidence tells right from wrong. Source: Geifman & El-Yaniv 2017, arXiv:1705.08500; the area (AURC) Geifman, Uziel &
El-Yaniv 2019, arXiv:1805.08206.

The confidence from which on the model may answer comes with a promise: with probability `bound_level` over the images
that it is taken from, the risk is at most the chosen one. Each candidate is tested with the exact binomial test behind
Clopper & Pearson's bound (the bound of Geifman & El-Yaniv 2017, lemma 3.1), and the candidates are walked through from
ten coverages that were fixed in advance, each at a tenth of the error (fixed-sequence testing with several starts:
Angelopoulos et al. 2021, arXiv:2110.01052, section 2). The test wants independent images, which those of one patient
are not: one image a patient, drawn by the seed, takes part.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, binom

from secondread.config.evaluate import EvaluateConfig
from secondread.config.selective import SelectiveConfig
from secondread.errors import InputError
from secondread.evaluation.intervals import bootstrap
from secondread.evaluation.intervals.estimate import Estimate, resampled, resampled_share
from secondread.evaluation.metrics.arrays import FloatArray, IntArray, check
from secondread.evaluation.nulls import null_for_nan

_POINTS = 100  # of the curve, and of the candidates for a threshold: one a per cent of coverage
_STARTS = 10  # of the walk through the candidates: one every ten per cent of coverage


@dataclass(frozen=True)
class RiskCoverage:
    """The curve, one element a point, by rising coverage; images of equal confidence are answered together.

    Attributes:
        coverage: share of images that are answered, in (0, 1].
        threshold: confidence from which on.
        risk: share of wrong answers among them.
        low, high: interval of the risk at that coverage. Where no answer is wrong, the upper bound is exact for the
            number of patients: resampling would give none.
    """

    coverage: tuple[float, ...]
    threshold: tuple[float, ...]
    risk: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Abstention:
    """From which confidence on the model may answer, and what that promises.

    Attributes:
        risk: that was asked for.
        bound_level: chance that the promise holds, over the images it was made from.
        threshold: confidence from which on; infinite where the images cannot show it for any: the model is silent.
        coverage: share of all images that are answered; 0 where it is silent.
        observed: share of wrong answers among these; NaN where it is silent.
        at_most: upper bound of the risk at `bound_level`, at most `risk`; NaN where it is silent.
        patients: whose images were tested, one each.
        fewest: patients that must be answered without a mistake to show this risk at all.
    """

    risk: float
    bound_level: float
    threshold: float
    coverage: float
    observed: float
    at_most: float
    patients: int
    fewest: int


@dataclass(frozen=True)
class Selective:
    """Risk by coverage of one model on one set of images.

    Attributes:
        n: images.
        groups: patients, or images where patients are not known.
        level: of the intervals.
        aurc: area under the curve, in [0, 1].
        curve: risk by coverage.
        abstention: the confidence for the chosen risk.
    """

    n: int
    groups: int
    level: float
    aurc: Estimate
    curve: RiskCoverage
    abstention: Abstention

    def to_json(self) -> dict[str, Any]:
        """As JSON; null for what cannot be known."""
        document: dict[str, Any] = null_for_nan(asdict(self))
        return document


def selective(
    probabilities: FloatArray,
    labels: IntArray,
    groups: npt.NDArray[Any],
    *,
    policy: SelectiveConfig | None = None,
    config: EvaluateConfig | None = None,
) -> Selective:
    """Risk by coverage, its area, and the confidence from which on the model may answer.

    Args:
        probabilities: float (images, classes), rows sum to 1.
        labels: int (images,), class indices.
        groups: (images,), the patient of each image, or the image itself where patients are not known.
        policy: the risk to keep.
        config: of resampling.
    Raises:
        InputError: the arrays differ in length, or are no probabilities.
    """
    policy, config = policy or SelectiveConfig(), config or EvaluateConfig()
    check(probabilities, labels)
    if len(groups) != len(labels):
        raise InputError(f"{len(labels)} labels and {len(groups)} groups: lengths differ.")
    confidence = probabilities.max(axis=1).astype(np.float64)
    wrong = probabilities.argmax(axis=1) != labels
    ranked = _Ranked.of(confidence, wrong)
    coverage, risk = ranked.curves(np.ones((1, len(labels))))
    asked = np.arange(1, _POINTS + 1) / _POINTS
    places = np.unique(_places(coverage[0], asked))
    areas, risks = [], []
    for weights in bootstrap.draws(groups, resamples=config.resamples, seed=config.seed):
        drawn_coverage, drawn_risk = ranked.curves(weights.astype(np.float64))
        areas.append(_area(drawn_coverage, drawn_risk))
        found = [_places(row, coverage[0][places]) for row in drawn_coverage]
        risks.append(np.take_along_axis(drawn_risk, np.stack(found), axis=1))
    level = config.level
    bounds = _bounds(ranked, groups, risk[0], np.concatenate(risks), places, level)
    return Selective(
        n=len(labels),
        groups=len(np.unique(groups)),
        level=level,
        aurc=resampled(float(_area(coverage, risk)[0]), np.concatenate(areas), level=level),
        curve=RiskCoverage(
            coverage=tuple(map(float, coverage[0][places])),
            threshold=tuple(map(float, ranked.thresholds[places])),
            risk=tuple(map(float, risk[0][places])),
            low=tuple(item.low for item in bounds),
            high=tuple(item.high for item in bounds),
        ),
        abstention=abstention(confidence, wrong, groups, policy=policy, seed=config.seed),
    )


def abstention(
    confidence: FloatArray,
    wrong: npt.NDArray[np.bool_],
    groups: npt.NDArray[Any],
    *,
    policy: SelectiveConfig,
    seed: int,
) -> Abstention:
    """The lowest confidence from which on the risk is shown to be at most the chosen one.

    Args:
        confidence: float (images,).
        wrong: bool (images,), whether the answer is.
        groups: (images,), the patient of each image.
        policy: risk, and how sure it must be.
        seed: of which image of a patient takes part.
    """
    chosen = _one_a_patient(groups, seed)
    ranked = _Ranked.of(confidence[chosen], wrong[chosen])
    answered, errors = ranked.ends + 1, np.cumsum(wrong[chosen][ranked.order])[ranked.ends]
    places = _places(answered / len(chosen), np.arange(1, _POINTS + 1) / _POINTS)
    error = (1 - policy.bound_level) / _STARTS
    shown = binom.cdf(errors[places], answered[places], policy.risk) <= error
    fewest = math.ceil(math.log(error) / math.log1p(-policy.risk))
    facts: dict[str, Any] = {
        "risk": policy.risk,
        "bound_level": policy.bound_level,
        "patients": len(chosen),
        "fewest": fewest,
    }
    last = _walk(shown)
    if last < 0:
        return Abstention(threshold=math.inf, coverage=0.0, observed=math.nan, at_most=math.nan, **facts)
    place = places[last]
    threshold = float(ranked.thresholds[place])
    kept = confidence >= threshold
    return Abstention(
        threshold=threshold,
        coverage=float(kept.mean()),
        observed=float(wrong[kept].mean()),
        at_most=float(beta.ppf(1 - error, errors[place] + 1, answered[place] - errors[place])),
        **facts,
    )


def _walk(shown: npt.NDArray[np.bool_]) -> int:
    """Last candidate that is reached: from each start on until one fails; -1 where each start fails at once."""
    last = -1
    for start in range(_POINTS // _STARTS - 1, _POINTS, _POINTS // _STARTS):
        failures = np.flatnonzero(~shown[start:])
        end = start + (int(failures[0]) if len(failures) else len(shown) - start)
        if end > start:
            last = max(last, end - 1)
    return last


@dataclass(frozen=True)
class _Ranked:
    """Images by falling confidence.

    Attributes:
        order: int (images,).
        ends: int (thresholds,), place of the last image of each distinct confidence.
        thresholds: float (thresholds,), these confidences.
        wrong: float (images,), in that order.
    """

    order: npt.NDArray[np.intp]
    ends: npt.NDArray[np.intp]
    thresholds: FloatArray
    wrong: npt.NDArray[np.float64]

    @classmethod
    def of(cls, confidence: FloatArray, wrong: npt.NDArray[np.bool_]) -> _Ranked:
        order = np.argsort(-confidence, kind="stable")
        ranked = confidence[order]
        ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])
        return cls(order, ends, ranked[ends], wrong[order].astype(np.float64))

    def curves(self, weights: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Coverage and risk of each draw, float64 (draws, thresholds); the risk is NaN where nothing is answered."""
        ranked = weights[:, self.order]
        answered = np.cumsum(ranked, axis=1)[:, self.ends]
        errors = np.cumsum(ranked * self.wrong, axis=1)[:, self.ends]
        risk = np.divide(errors, answered, out=np.full_like(errors, np.nan), where=answered > 0)
        return answered / answered[:, -1:], risk


def _area(coverage: npt.NDArray[np.float64], risk: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean risk over the images' own thresholds, float64 (draws,)."""
    steps = np.diff(coverage, axis=1, prepend=0)
    return np.asarray((steps * np.where(steps > 0, risk, 0)).sum(axis=1), dtype=np.float64)


def _places(coverage: npt.NDArray[np.float64], asked: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """First threshold whose coverage is at least each of those that are asked for."""
    return np.minimum(np.searchsorted(coverage, asked - 1e-9), len(coverage) - 1)


def _bounds(
    ranked: _Ranked,
    groups: npt.NDArray[Any],
    risk: npt.NDArray[np.float64],
    drawn: npt.NDArray[np.float64],
    places: npt.NDArray[np.intp],
    level: float,
) -> list[Estimate]:
    """The risk at each point of the curve with its interval; `drawn` is float64 (draws, points)."""
    _, first = np.unique(groups[ranked.order], return_index=True)  # where each patient is first answered
    patients = np.searchsorted(np.sort(first), ranked.ends[places], side="right")
    return [
        resampled_share(float(risk[place]), drawn[:, column], patients=int(patients[column]), level=level)
        for column, place in enumerate(places)
    ]


def _one_a_patient(groups: npt.NDArray[Any], seed: int) -> npt.NDArray[np.intp]:
    """One image of each patient, drawn by the seed: int (patients,)."""
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    _, first = np.unique(groups[shuffled], return_index=True)
    return np.asarray(shuffled[first], dtype=np.intp)
