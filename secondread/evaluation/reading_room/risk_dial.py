"""The risk dial: the user names the share of studies that may be closed wrongly, and learns what must be escalated.

A study is closed where the physician and the model agree and the model is confident enough. Conformal risk control
takes the lowest threshold of that confidence for which, on calibration studies,

    n / (n + 1) * (share closed wrongly) + 1 / (n + 1) <= accepted share

which keeps the expected share of wrong closures at or below the accepted one, for any model and any population.
Source: Angelopoulos, Bates, Fisch, Lei & Schuster 2022, arXiv:2208.02814, theorem 1, with losses of at most B = 1.

Its one assumption is that what is seen later is exchangeable with the calibration: as if drawn from the same urn. Films
of one patient are alike, so that patients are exchangeable and films are not. n therefore counts patients, and a
patient's loss is the share of their own studies that is closed wrongly. Each patient counts once in every rate here,
however many studies they have. Nor is a model exchangeable with itself on images that chose its epoch, its scaling or
its graph, as val does: on these it looks better than it is, and so does the promise.

Agreement is not correctness: both may be wrong, and nobody would know. So a share of the closed studies is read again:
see `audit`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.config.evaluate import EvaluateConfig
from secondread.config.risk_dial import RiskDialConfig
from secondread.errors import InputError
from secondread.evaluation.intervals import bootstrap
from secondread.evaluation.intervals.estimate import Estimate, resampled, resampled_share
from secondread.evaluation.metrics.arrays import FloatArray, IntArray, check
from secondread.evaluation.nulls import null_for_nan
from secondread.evaluation.reading_room.audit import Audit, sized_audit

_ROUNDING = 1e-9  # 0.07 * 100 is not quite 7, and sums of thirds not quite 1


@dataclass(frozen=True)
class Readings:
    """What the model, and perhaps a physician, says of some studies; one image is taken for one study.

    Attributes:
        confidence: float (studies,), the model's largest probability.
        agreed: bool (studies,), the physician says the same; all True where no physician's readings are known, which
            counts every wrong and confident answer as a wrong closure.
        wrong: bool (studies,), the model's class is not the true one.
        groups: (studies,), the patient of each, or the study itself where patients are not known.
        read_first: a physician's readings are known.
    """

    confidence: FloatArray
    agreed: npt.NDArray[np.bool_]
    wrong: npt.NDArray[np.bool_]
    groups: npt.NDArray[Any]
    read_first: bool

    @classmethod
    def of(
        cls, probabilities: FloatArray, labels: IntArray, groups: npt.NDArray[Any], *, first: IntArray | None = None
    ) -> Readings:
        """Compare answers with the truth.

        Args:
            probabilities: float (studies, classes), rows sum to 1.
            labels: int (studies,), class indices.
            groups: (studies,), the patient of each.
            first: int (studies,), the physician's class of each; None where it is not known.
        Raises:
            InputError: the arrays differ in length, or are no probabilities.
        """
        check(probabilities, labels)
        answers = probabilities.argmax(axis=1)
        if len(groups) != len(labels) or (first is not None and len(first) != len(labels)):
            raise InputError(
                f"{len(labels)} labels, {len(groups)} groups and {'no' if first is None else len(first)} first "
                "readings: lengths differ."
            )
        agreed = np.ones(len(labels), dtype=np.bool_) if first is None else np.asarray(answers == first)
        return cls(probabilities.max(axis=1), agreed, np.asarray(answers != labels), groups, first is not None)

    @property
    def patients(self) -> int:
        """How many."""
        return len(np.unique(self.groups))

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """What each study is of its patient's studies, float64 (studies,); they sum to the number of patients."""
        _, place, counts = np.unique(self.groups, return_inverse=True, return_counts=True)
        return np.asarray(1 / counts[place], dtype=np.float64)


@dataclass(frozen=True)
class DialSetting:
    """One position of the dial.

    Attributes:
        accepted: share of studies that may be closed wrongly.
        threshold: confidence from which on agreement closes a study; infinite: none is closed, since the calibration
            has too few patients or too many confident mistakes.
        escalated: share of the test's studies that go to a second physician.
        wrong_closures: share of the test's studies that are closed wrongly.
    """

    accepted: float
    threshold: float
    escalated: Estimate
    wrong_closures: Estimate


@dataclass(frozen=True)
class RiskDial:
    """The dial's positions, and what the chosen one promises.

    Attributes:
        calibrated_on: patients of the calibration.
        n: studies of the test.
        groups: patients of the test.
        level: of the intervals.
        chosen: the position that was asked for.
        settings: all positions, by rising accepted share, the chosen one among them.
        audit: of the chosen one.
        promise: what it guarantees, in words.
    """

    calibrated_on: int
    n: int
    groups: int
    level: float
    chosen: DialSetting
    settings: tuple[DialSetting, ...]
    audit: Audit
    promise: str

    def to_json(self) -> dict[str, Any]:
        """As JSON; null for what cannot be known."""
        document: dict[str, Any] = null_for_nan(asdict(self))
        return document


def risk_dial(
    calibration: Readings,
    test: Readings,
    *,
    policy: RiskDialConfig | None = None,
    config: EvaluateConfig | None = None,
) -> RiskDial:
    """Find each position's threshold on the calibration, and what it does on the test.

    Args:
        calibration: studies that the model has not learned from, such as val; where its scaling was fitted on them
            the promise is nearly kept, as two numbers hardly bend to them.
        test: studies of other patients.
        policy: accepted share, and audit.
        config: of resampling.
    Raises:
        InputError: calibration and test share patients, or one has first readings and the other none.
    """
    policy, config = policy or RiskDialConfig(), config or EvaluateConfig()
    shared = len(np.intersect1d(calibration.groups, test.groups))
    if shared:
        raise InputError(
            f"calibration and test share {shared} patients: the dial would be judged on what it was set with. Give "
            "splits by patient."
        )
    if calibration.read_first != test.read_first:
        raise InputError("first readings are known of one set alone: give them for calibration and test, or for none.")
    accepted = sorted({*policy.shown, policy.accepted})
    thresholds = [closing_threshold(calibration, share) for share in accepted]
    settings = _on_test(accepted, thresholds, test, config)
    chosen = settings[accepted.index(policy.accepted)]
    return RiskDial(
        calibrated_on=calibration.patients,
        n=len(test.confidence),
        groups=test.patients,
        level=config.level,
        chosen=chosen,
        settings=settings,
        audit=sized_audit(policy, closed=1 - chosen.escalated.value),
        promise=_promise(chosen, calibration),
    )


def closing_threshold(readings: Readings, accepted: float) -> float:
    """The lowest confidence from which on agreement may close a study, by conformal risk control.

    Args:
        readings: the calibration.
        accepted: expected share of studies closed wrongly, in (0, 1).
    Returns:
        A float32 number, so that it means the same next to a graph's float32 confidence; 0 where every study on which
        both agree may be closed, infinity where none may.
    """
    patients = readings.patients
    allowed = accepted * (patients + 1) - 1 + _ROUNDING  # patients that may be lost, by the condition above
    if allowed < 0:
        return math.inf
    lost = readings.agreed & readings.wrong
    confidence, shares = readings.confidence[lost], readings.shares[lost]
    order = np.argsort(-confidence, kind="stable")
    too_many = np.flatnonzero(np.cumsum(shares[order]) > allowed)
    if not len(too_many):
        return 0.0
    # the first wrong study that there is no room for: it, and whatever is no more confident, must not be closed
    refused = np.float32(confidence[order[too_many[0]]])
    return float(np.nextafter(refused, np.float32(np.inf)))


def _on_test(
    accepted: list[float], thresholds: list[float], test: Readings, config: EvaluateConfig
) -> tuple[DialSetting, ...]:
    """What each threshold does on the test."""
    closed = test.agreed[:, None] & (test.confidence[:, None] >= np.array(thresholds, dtype=np.float64))
    shares, patients = test.shares, test.patients
    both = np.concatenate([~closed, closed & test.wrong[:, None]], axis=1) * shares[:, None]
    values = both.sum(axis=0) / patients
    drawn = np.concatenate(
        [
            (weights @ both) / (weights @ shares)[:, None]
            for weights in bootstrap.draws(test.groups, resamples=config.resamples, seed=config.seed)
        ]
    )
    settings = []
    for place, (share, threshold) in enumerate(zip(accepted, thresholds, strict=True)):
        other = place + len(accepted)
        if math.isinf(threshold):  # by definition, whatever the patients
            settings.append(DialSetting(share, threshold, Estimate(1.0, 1.0, 1.0), Estimate(0.0, 0.0, 0.0)))
            continue
        escalated = resampled(float(values[place]), drawn[:, place], level=config.level)
        wrong = resampled_share(float(values[other]), drawn[:, other], patients=patients, level=config.level)
        settings.append(DialSetting(share, threshold, escalated, wrong))
    return tuple(settings)


def _promise(chosen: DialSetting, calibration: Readings) -> str:
    """What the chosen position guarantees, and what it does not."""
    if math.isinf(chosen.threshold):
        return (
            f"{calibration.patients} calibration patients cannot show that at most {chosen.accepted:.2%} of the "
            "studies would be closed wrongly: every study goes to a second physician."
        )
    known = (
        ""
        if calibration.read_first
        else " No physician's readings were known, so that each wrong answer was taken to be agreed on: wrong closures "
        "can only be fewer than that, and escalations only more."
    )
    return (
        f"Of the studies of patients like the {calibration.patients} of the calibration, at most {chosen.accepted:.2%} "
        "are closed wrongly, on average over such calibrations and patients; with this very calibration it may be more "
        "or fewer. That takes a calibration that has chosen nothing of the model: val, which also chose its epoch, its "
        "scaling and the graph that is served, flatters it, nobody knows how much. "
        f"It ends where patients, films, physicians or the model become others.{known}"
    )
