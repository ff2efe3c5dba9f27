"""Risk by coverage, against plain loops over thresholds, and the promise about abstaining, by how often it holds."""

import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from secondread.config.evaluate import EvaluateConfig
from secondread.config.selective import SelectiveConfig
from secondread.errors import InputError
from secondread.evaluation.intervals.bounds import share
from secondread.evaluation.reading_room.selective import Abstention, abstention, selective

QUICK = EvaluateConfig(resamples=100, seed=2)


def answers(images: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, images)
    scores = rng.dirichlet(np.ones(3), images)
    scores[np.arange(images), labels] += 0.3
    scores = scores.round(1) + 0.01  # many ties
    return scores / scores.sum(axis=1, keepdims=True), labels


def risk_at(confidence: np.ndarray, wrong: np.ndarray, coverage: float) -> float:
    """Share of wrong answers at the strictest threshold that answers so many."""
    for threshold in sorted(set(confidence), reverse=True):
        if (confidence >= threshold).mean() >= coverage - 1e-9:
            return float(wrong[confidence >= threshold].mean())
    raise AssertionError("a coverage above 1")


def area(confidence: np.ndarray, wrong: np.ndarray) -> float:
    """Mean over the images of the risk at the threshold that is their own confidence."""
    return float(np.mean([wrong[confidence >= own].mean() for own in confidence]))


def promised(confidence: np.ndarray, wrong: np.ndarray, *, risk: float = 0.05, groups: object = None) -> Abstention:
    units = np.arange(len(wrong)) if groups is None else np.asarray(groups)
    return abstention(confidence, wrong, units, policy=SelectiveConfig(risk=risk), seed=0)


def test_curve_area_and_intervals_are_those_of_a_loop_over_copied_images() -> None:
    probabilities, labels = answers(60)
    groups = np.arange(60) // 2
    result = selective(probabilities, labels, groups, config=QUICK)
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != labels
    assert result.aurc.value == pytest.approx(area(confidence, wrong))
    curve = result.curve
    assert curve.coverage[-1] == 1
    assert curve.risk[-1] == pytest.approx(wrong.mean())
    for coverage, threshold, risk in zip(curve.coverage, curve.threshold, curve.risk, strict=True):
        assert coverage == pytest.approx((confidence >= threshold).mean())
        assert risk == pytest.approx(risk_at(confidence, wrong, coverage))
    rng = np.random.default_rng(QUICK.seed)
    areas, risks = [], []
    for counts in rng.multinomial(30, np.full(30, 1 / 30), size=QUICK.resamples):
        copies = np.concatenate([np.flatnonzero(groups == name) for name in range(30) for _ in range(counts[name])])
        areas.append(area(confidence[copies], wrong[copies]))
        risks.append([risk_at(confidence[copies], wrong[copies], coverage) for coverage in curve.coverage])
    expected = np.percentile(areas, [2.5, 97.5], method="weibull")
    assert (result.aurc.low, result.aurc.high) == pytest.approx(tuple(expected))
    for column, risk in enumerate(curve.risk):
        if risk > 0:
            patients = len(np.unique(groups[confidence >= curve.threshold[column]]))
            expected = share(np.array(risks)[:, column], risk, 0.95, patients=patients)
            assert (curve.low[column], curve.high[column]) == pytest.approx((expected.low, expected.high))


def test_a_confidence_that_tells_right_from_wrong_has_a_smaller_area() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros(200, dtype=int)
    confidence = rng.uniform(0.5, 1, 200)
    telling = np.where(np.argsort(np.argsort(confidence)) < 40, 1, 0)  # the 40 least confident are wrong
    blind = rng.permutation(telling)
    areas = []
    for wrong in (telling, blind):
        probabilities = np.full((200, 2), confidence[:, None])
        probabilities[np.arange(200), 1 - wrong] = 1 - confidence
        areas.append(selective(probabilities, labels, np.arange(200), config=QUICK).aurc.value)
    assert areas[0] < 0.05 < areas[1]


def test_where_no_answer_is_wrong_the_bound_counts_patients() -> None:
    """100 images of 25 patients, all right: 25 patients promise less than 100 would."""
    probabilities = np.tile([0.9, 0.1], (100, 1))
    groups = np.arange(100) // 4
    result = selective(probabilities, np.zeros(100, dtype=int), groups, config=QUICK)
    assert (result.curve.coverage, result.curve.risk, result.curve.low) == ((1.0,), (0.0,), (0.0,))
    assert result.curve.high[0] == pytest.approx(binomtest(0, 25).proportion_ci(method="exact").high)


def test_the_promise_holds_as_often_as_it_says_where_patients_are_counted() -> None:
    """Patients with a confidence u in [0, 1] and a chance of 0.4 (1 - u) of being read wrongly, in four alike images.

    From a confidence of t on, the true risk is 0.2 (1 - t): at most 0.1 from t = 0.5 on.
    """
    rng = np.random.default_rng(5)
    each = np.repeat(np.arange(1_000), 4)
    broken, coverages = {"patients": 0, "images": 0}, []
    for _ in range(200):
        confidence = rng.random(1_000)
        wrong = rng.random(1_000) < 0.4 * (1 - confidence)
        found = promised(confidence[each], wrong[each], risk=0.1, groups=each)
        coverages.append(found.coverage)
        broken["patients"] += found.threshold < 0.5
        broken["images"] += promised(confidence[each], wrong[each], risk=0.1).threshold < 0.5
    allowed = 200 * 0.05 + 2.3 * math.sqrt(200 * 0.05 * 0.95)
    assert broken["patients"] <= allowed < broken["images"]
    assert np.median(coverages) > 0.2  # of at most 0.5: the promise is not kept by silence


def test_the_bound_is_clopper_and_pearsons_at_a_tenth_of_the_error() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.random(500)
    wrong = rng.random(500) < 0.1 * (1 - confidence)
    found = promised(confidence, wrong)
    kept = confidence >= found.threshold
    exact = binomtest(int(wrong[kept].sum()), int(kept.sum()), alternative="less")
    assert found.at_most == pytest.approx(exact.proportion_ci(confidence_level=1 - 0.05 / 10, method="exact").high)
    assert found.observed < found.at_most <= 0.05
    assert (found.coverage, found.observed) == pytest.approx((kept.mean(), wrong[kept].mean()))


def test_too_few_patients_promise_nothing() -> None:
    """104 answers without a mistake show a risk of 5 %; 103 do not, nor do 206 images of 103 patients."""
    for patients, images, silent in ((104, 104, False), (103, 103, True), (103, 206, True)):
        found = promised(np.linspace(0.5, 1, images), np.zeros(images, dtype=bool), groups=np.arange(images) % patients)
        assert found.fewest == 104
        assert (found.threshold == math.inf) == silent
        assert (found.coverage == 0) == silent


def test_a_mistake_at_the_highest_confidence_does_not_silence_the_model() -> None:
    wrong = np.zeros(1_000, dtype=bool)
    wrong[-1] = True
    found = promised(np.linspace(0.5, 1, 1_000), wrong)
    assert found.coverage == 1


def test_a_model_that_is_often_wrong_is_silent_and_json_says_so() -> None:
    probabilities = np.column_stack([np.linspace(0.51, 0.99, 300), np.linspace(0.49, 0.01, 300)])
    labels = np.arange(300) % 2
    document = selective(probabilities, labels, np.arange(300), config=QUICK).to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    silent = document["abstention"]
    assert (silent["threshold"], silent["observed"], silent["at_most"]) == (None, None, None)
    assert silent["coverage"] == 0
    assert len(document["curve"]["risk"]) == len(document["curve"]["coverage"]) == 100


def test_bad_input_is_refused() -> None:
    probabilities, labels = answers(10)
    with pytest.raises(InputError, match="10 labels and 9 groups: lengths differ"):
        selective(probabilities, labels, np.arange(9))
    with pytest.raises(InputError, match="apply softmax"):
        selective(3 * probabilities, labels, np.arange(10))
    with pytest.raises(InputError, match="risk must be a share between 0 and 1, not 0"):
        SelectiveConfig(risk=0)
    with pytest.raises(InputError, match=r"bound_level must be in \[0\.5, 1\), not 1"):
        SelectiveConfig(bound_level=1)
