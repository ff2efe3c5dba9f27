"""The risk dial, against the paper's formula in a plain loop, MAPIE, and how often its promise holds."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from mapie.risk_control import MultiLabelClassificationController
from scipy.stats import binom

from secondread.config.evaluate import EvaluateConfig
from secondread.config.risk_dial import RiskDialConfig
from secondread.errors import InputError
from secondread.evaluation.intervals.bounds import share
from secondread.evaluation.reading_room.risk_dial import Readings, RiskDial, closing_threshold, risk_dial

QUICK = EvaluateConfig(resamples=100, seed=2)


def readings(
    patients: int, *, images: int = 1, seed: int = 0, first: bool = False, name: str = "p", likeness: float = 0.0
) -> Readings:
    """Studies whose confidence c is right with a chance of c; `likeness` of a patient's are like their first one."""
    rng = np.random.default_rng(seed)
    shape = (patients, images)
    alike = rng.random(shape) < likeness
    confidence, luck = rng.uniform(0.5, 1, shape), rng.random(shape)
    confidence, luck = (np.where(alike, each[:, :1], each).ravel() for each in (confidence, luck))
    groups = np.repeat([f"{name}{index}" for index in range(patients)], images)
    agreed = rng.random(patients * images) < 0.8 if first else np.ones(patients * images, dtype=bool)
    return Readings((confidence * 64).round() / 64, agreed, luck > confidence, groups, first)


def without_mistakes(patients: int, *, images: int = 1) -> Readings:
    studies = readings(patients, images=images)
    return replace(studies, wrong=np.zeros_like(studies.wrong))


def lost_share(studies: Readings, threshold: float) -> float:
    """Mean over the patients of the share of their studies that is closed wrongly."""
    lost = studies.agreed & studies.wrong & (studies.confidence >= threshold)
    return float(np.mean([lost[studies.groups == name].mean() for name in np.unique(studies.groups)]))


def dial(calibration: Readings, test: Readings, **policy: object) -> RiskDial:
    return risk_dial(calibration, test, policy=RiskDialConfig(**policy), config=QUICK)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("accepted", [0.02, 0.1, 0.2, 0.9])
def test_the_threshold_is_the_lowest_that_the_papers_condition_allows(accepted: float, first: bool) -> None:
    studies = readings(60, images=3, first=first)
    threshold = closing_threshold(studies, accepted)
    candidates = [0.0, *(np.float32(number / 64) + np.float32(1e-4) for number in range(65))]
    allowed = [
        candidate for candidate in candidates if 60 / 61 * lost_share(studies, candidate) + 1 / 61 <= accepted + 1e-12
    ]
    assert 60 / 61 * lost_share(studies, threshold) + 1 / 61 <= accepted + 1e-12
    assert lost_share(studies, threshold) == lost_share(studies, min(allowed))
    closes = [(studies.confidence >= each).sum() for each in (threshold, min(allowed))]
    assert closes[0] == closes[1]


@pytest.mark.parametrize("accepted", [0.031, 0.05, 0.11, 0.21])
def test_the_threshold_is_mapies(accepted: float) -> None:
    """A patient as a multi-label image: one label a study, in the set unless closing the study would be wrong.

    A set holds the labels whose probability is above lambda; with 1 - confidence for wrong studies and 1 for right
    ones, what is missing from it (1 - recall) is the share closed wrongly from a confidence of 1 - lambda on.
    """
    studies = readings(200, images=4)
    scores = np.where(studies.wrong, 1 - studies.confidence, 1.0).reshape(200, 4)
    steps = (np.arange(33) + 0.5) / 64  # between the confidences
    controller = MultiLabelClassificationController(
        lambda given: given, risk="recall", method="crc", target_level=1 - accepted, predict_params=steps
    )
    controller.calibrate(scores, np.ones((200, 4), dtype=int))
    theirs = 1 - float(controller.best_predict_param[0])
    ours = closing_threshold(studies, accepted)
    assert ((studies.confidence >= ours) == (studies.confidence >= theirs)).all()


@pytest.mark.parametrize(("images", "likeness"), [(1, 0.0), (5, 0.8)])
def test_the_promise_is_kept_on_average_and_not_by_closing_nothing(images: int, likeness: float) -> None:
    """Closing from t on loses the integral of 1 - c over [t, 1], at a density of 2: (1 - t)^2 of the studies."""
    lost, closed = [], []
    for seed in range(400):
        calibration = readings(80, images=images, likeness=likeness, seed=seed)
        threshold = max(0.5, closing_threshold(calibration, 0.05))
        # confidence is rounded to 1/64 after it was drawn
        start = min(1.0, (math.ceil(threshold * 64) - 0.5) / 64)
        lost.append((1 - start) ** 2)
        closed.append(2 * (1 - start))
    error = np.std(lost) / math.sqrt(len(lost))
    assert np.mean(lost) <= 0.05 + 2.5 * error
    assert np.mean(lost) > 0.025
    assert np.mean(closed) > 0.3


def test_too_few_patients_close_nothing() -> None:
    """With 99 patients one part in a hundred can be promised, with 98 not, however many films they have."""
    for patients, silent in ((99, False), (98, True)):
        assert (closing_threshold(without_mistakes(patients, images=3), 0.01) == math.inf) == silent
    result = dial(readings(50, name="a"), readings(60, name="b"), accepted=0.01)
    assert (result.chosen.escalated.value, result.chosen.wrong_closures.value) == (1, 0)
    assert result.promise.startswith("50 calibration patients cannot show that at most 1.00%")
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["chosen"]["threshold"] is None
    assert document["audit"]["cases"] is None


def test_a_model_without_mistakes_may_close_whatever_is_agreed_on() -> None:
    assert closing_threshold(without_mistakes(200), 0.01) == 0


def test_the_threshold_means_the_same_for_the_graphs_float32() -> None:
    confidence = np.array([0.7, 0.8, 0.9], dtype=np.float32).repeat(50)
    wrong = np.zeros(150, dtype=bool)
    wrong[50:80] = True  # 30 studies at 0.8
    for kind in (np.float32, np.float64):
        studies = Readings(confidence.astype(kind), np.ones(150, dtype=bool), wrong, np.arange(150), False)
        threshold = closing_threshold(studies, 0.05)
        for same in (np.float32, np.float64):
            assert (confidence.astype(same) >= threshold).tolist() == [False] * 100 + [True] * 50


def test_rates_and_intervals_are_those_of_a_loop_over_copied_patients() -> None:
    calibration, test = readings(150, name="a", first=True), readings(40, images=3, seed=1, name="b", first=True)
    result = dial(calibration, test, accepted=0.1)
    threshold = result.chosen.threshold
    closed = (test.agreed & (test.confidence >= threshold)).reshape(40, 3)
    wrong = closed & test.wrong.reshape(40, 3)
    order = np.unique(test.groups, return_index=True)[1] // 3
    rates = np.array([1 - closed.mean(axis=1), wrong.mean(axis=1)])[:, order]
    assert result.chosen.escalated.value == pytest.approx(rates[0].mean())
    assert result.chosen.wrong_closures.value == pytest.approx(rates[1].mean())
    rng = np.random.default_rng(QUICK.seed)
    drawn = rng.multinomial(40, np.full(40, 1 / 40), size=QUICK.resamples) @ rates.T / 40
    escalated, closures = result.chosen.escalated, result.chosen.wrong_closures
    expected = np.percentile(drawn[:, 0], [2.5, 97.5], method="weibull")
    assert (escalated.low, escalated.high) == pytest.approx(tuple(expected))
    exact = share(drawn[:, 1], closures.value, 0.95, patients=40)  # close to 0 percentiles are too sure
    assert (closures.low, closures.high) == pytest.approx((exact.low, exact.high))


def test_whoever_accepts_more_escalates_less() -> None:
    result = dial(readings(2_000, name="a"), readings(300, seed=1, name="b"), accepted=0.03)
    assert [setting.accepted for setting in result.settings] == [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1]
    escalated = [setting.escalated.value for setting in result.settings]
    assert escalated == sorted(escalated, reverse=True)
    assert escalated[0] > escalated[-1]
    assert result.chosen is result.settings[5]
    assert result.chosen.wrong_closures.value < 0.06


def test_without_a_physicians_readings_the_promise_is_the_worst_case_and_says_so() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    scores = rng.dirichlet(np.ones(3), 300)
    scores[np.arange(300), labels] += 0.4
    scores /= scores.sum(axis=1, keepdims=True)
    physician = np.where(rng.random(300) < 0.9, labels, (labels + 1) % 3)
    unknown = Readings.of(scores, labels, np.arange(300))
    known = Readings.of(scores, labels, np.arange(300), first=physician)
    assert closing_threshold(known, 0.05) <= closing_threshold(unknown, 0.05)
    other = Readings.of(scores, labels, np.arange(300) + 300)
    promise = dial(unknown, other, accepted=0.05).promise
    assert promise.startswith("Of the studies of patients like the 300 of the calibration, at most 5.00% are closed")
    assert "on average" in promise
    assert "val, which also chose its epoch, its scaling and the graph that is served, flatters it" in promise
    assert "No physician's readings were known" in promise
    with pytest.raises(InputError, match="first readings are known of one set alone"):
        dial(known, other)


def test_the_audit_is_of_closed_studies_and_says_how_long_it_takes() -> None:
    result = dial(readings(500, name="a"), readings(200, seed=1, name="b"), accepted=0.05, audit_share=0.1)
    audit, closed = result.audit, 1 - result.chosen.escalated.value
    assert audit.rate == pytest.approx(0.05 / closed)  # all wrong closures are among the closed ones
    assert binom.sf(audit.alarm_from - 1, audit.cases, audit.rate) <= 0.05
    assert binom.sf(audit.alarm_from - 1, audit.cases, 2 * audit.rate) >= 0.95
    assert audit.studies == math.ceil(audit.cases / (0.1 * closed))


def test_a_patient_in_calibration_and_test_is_refused() -> None:
    with pytest.raises(InputError, match=r"calibration and test share 50 patients.*splits by patient"):
        dial(readings(100), readings(50))


def test_bad_input_is_refused() -> None:
    probabilities, labels = np.tile([0.9, 0.1], (4, 1)), np.zeros(4, dtype=int)
    with pytest.raises(InputError, match="4 labels, 4 groups and 3 first readings: lengths differ"):
        Readings.of(probabilities, labels, np.arange(4), first=np.zeros(3, dtype=int))
    with pytest.raises(InputError, match="4 labels, 3 groups and no first readings: lengths differ"):
        Readings.of(probabilities, labels, np.arange(3))
    with pytest.raises(InputError, match="accepted must hold shares between 0 and 1, not 0"):
        RiskDialConfig(accepted=0)
    with pytest.raises(InputError, match="shown must rise"):
        RiskDialConfig(shown=(0.1, 0.01))
    with pytest.raises(InputError, match="audit_factor must be above 1, not 1"):
        RiskDialConfig(audit_factor=1)
