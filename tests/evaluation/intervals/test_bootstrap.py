"""Intervals by resampling patients, against a plain loop over copied images, and by how often they hold the truth."""

import math

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from secondread.errors import InputError
from secondread.evaluation.intervals import bootstrap
from secondread.evaluation.intervals.bounds import share
from secondread.evaluation.metrics.arrays import once
from secondread.evaluation.metrics.by_name import BY_CLASS, COUNTS, OVERALL, measure, weighted_accuracy


def answers(images: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    scores = rng.dirichlet(np.ones(classes), images)
    scores[np.arange(images), labels] += 0.3
    scores = scores.round(2)  # ties
    return scores / scores.sum(axis=1, keepdims=True), labels


def test_images_of_a_patient_are_drawn_together() -> None:
    groups = np.array(["b", "a", "b", "c", "b", "a"])
    weights = bootstrap.group_weights(groups, resamples=50, seed=0)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] == weights[:, 4]).all()
    assert (weights[:, 1] == weights[:, 5]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()  # as many patients as there are


def test_bounds_are_percentiles_of_a_loop_over_copied_images() -> None:
    probabilities, labels = answers(120, seed=2)
    groups = np.arange(120) // 2
    found = bootstrap.intervals(probabilities, labels, groups, resamples=200, seed=3)
    weights = bootstrap.group_weights(groups, resamples=200, seed=3)
    drawn: dict[str, list[float]] = {"accuracy": [], "auroc_macro": [], "average_precision_macro": [], "f1_macro": []}
    for draw in range(200):
        copies = np.repeat(np.arange(120), weights[draw])
        truth, scores = labels[copies], probabilities[copies]
        one_hot, called = np.eye(3)[truth], scores.argmax(axis=1)
        drawn["accuracy"].append((called == truth).mean())
        drawn["auroc_macro"].append(roc_auc_score(one_hot, scores))
        drawn["average_precision_macro"].append(average_precision_score(one_hot, scores))
        drawn["f1_macro"].append(f1_score(truth, called, average="macro"))
    for name, values in drawn.items():
        bounds = found.overall[name]
        expected = tuple(np.percentile(values, [2.5, 97.5], method="weibull"))
        if name == "accuracy":  # a simple share, which is no surer than the exact bounds
            right = float((probabilities.argmax(axis=1) == labels).mean())
            whole = share(np.array(values), right, 0.95, patients=60)
            assert whole.low <= expected[0] + 1e-9 < expected[1] <= whole.high + 1e-9
            expected = (whole.low, whole.high)
        assert (bounds.low, bounds.high) == pytest.approx(expected), name


def test_every_figure_has_an_interval_around_it() -> None:
    probabilities, labels = answers(200)
    found = bootstrap.intervals(probabilities, labels, np.arange(200), resamples=200)
    plain = measure(probabilities, labels, once(200))
    assert set(found.overall) == set(OVERALL)
    assert set(found.by_class) == set(BY_CLASS) - set(COUNTS)
    for name, bounds in found.overall.items():
        assert bounds.low < plain.overall[name][0] < bounds.high, name
    for name, classes in found.by_class.items():
        for bounds, value in zip(classes, plain.by_class[name][0], strict=True):
            assert bounds.low < value < bounds.high, name


def test_the_same_seed_gives_the_same_interval() -> None:
    probabilities, labels = answers(60)
    one, same, other = (
        bootstrap.intervals(probabilities, labels, np.arange(60), resamples=100, seed=seed) for seed in (7, 7, 8)
    )
    assert (one.overall, one.by_class) == (same.overall, same.by_class)
    assert one.overall != other.overall


def test_intervals_hold_the_true_accuracy_as_often_as_they_say() -> None:
    """100 patients with 4 alike images each and a true accuracy of 0.8: images as units would be far too sure."""
    rng = np.random.default_rng(4)
    held = {"patients": 0, "images": 0}
    trials = 200
    groups = np.repeat(np.arange(100), 4)
    for trial in range(trials):
        skill = rng.beta(0.8, 0.2, 100)  # of each patient: easy or hard, mean 0.8
        right = rng.random(400) < np.repeat(skill, 4)
        for unit, names in (("patients", groups), ("images", np.arange(400))):
            draws = weighted_accuracy(right, bootstrap.group_weights(names, resamples=200, seed=trial))
            low, high = np.percentile(draws, [2.5, 97.5])
            held[unit] += low <= 0.8 <= high
    assert 0.90 <= held["patients"] / trials <= 0.99
    assert held["images"] / trials < 0.85


def test_intervals_of_all_figures_hold_the_truth_as_often_as_they_say() -> None:
    """300 sets of 150 patients with two images each; the truth is that of 60,000 patients."""
    rng, trials, held = np.random.default_rng(5), 300, dict.fromkeys([*OVERALL, *BY_CLASS], 0)

    def population(patients: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat(rng.choice(3, patients, p=[0.5, 0.3, 0.2]), 2)
        shared = np.repeat(rng.normal(size=(patients, 3)), 2, axis=0)
        odds = np.exp(shared + 0.7 * rng.normal(size=shared.shape) + 1.5 * np.eye(3)[labels])
        return odds / odds.sum(axis=1, keepdims=True), labels

    truth = measure(*population(60_000), once(120_000))
    for trial in range(trials):
        sample = population(150)
        found = bootstrap.intervals(*sample, np.arange(300) // 2, resamples=100, seed=trial)
        for name, bounds in found.overall.items():
            held[name] += bounds.low <= truth.overall[name][0] <= bounds.high
        for name, classes in found.by_class.items():
            held[name] += classes[1].low <= truth.by_class[name][0, 1] <= classes[1].high
    # what an interval of 95 % gives in 998 of 1,000 such simulations
    least, most = binom.ppf([0.001, 0.999], trials, 0.95)
    assert held.pop("ece") >= least  # which promises to hold the truth at least so often
    assert {name: count for name, count in held.items() if not least <= count <= most} == dict.fromkeys(COUNTS, 0)


def test_a_class_that_a_draw_misses_is_left_out_of_that_draw() -> None:
    probabilities, labels = answers(30, seed=5)
    labels[:] = 0
    labels[:10] = 1
    labels[10] = 2  # one image: a third of the draws has none of it
    found = bootstrap.intervals(probabilities, labels, np.arange(30), resamples=300).overall["auroc_macro"]
    drawn, missed = [], 0
    for weight in bootstrap.group_weights(np.arange(30), resamples=300, seed=0):
        present = np.unique(labels[weight > 0])
        missed += 2 not in present
        of_each = [roc_auc_score(labels == one, probabilities[:, one], sample_weight=weight) for one in present]
        drawn.append(np.mean(of_each))
    assert 60 < missed < 160
    expected = np.percentile(drawn, [2.5, 97.5], method="weibull")
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_shares_of_which_every_draw_is_the_same_are_not_said_to_be_certain() -> None:
    """All 20 images of 10 patients are read rightly: 31 % wrong would still show that once in 40 times."""
    labels = np.repeat([0, 1], 10)
    found = bootstrap.intervals(np.eye(2)[labels] * 0.8 + 0.1, labels, np.arange(20) // 2, resamples=100)
    assert (found.overall["accuracy"].low, found.overall["accuracy"].high) == pytest.approx((0.025 ** (1 / 10), 1))
    assert found.by_class["recall"][0].low == pytest.approx(0.025 ** (1 / 5))
    assert math.isnan(found.overall["auroc_macro"].low)  # no simple share: what else could come is not known
    assert math.isnan(found.by_class["f1"][0].high)


def test_a_mistake_more_never_makes_a_class_look_safer() -> None:
    """Of 75 images of each of two classes, 0 to 3 are called the other."""
    labels, lows = np.arange(150) % 2, []
    for mistakes in range(4):
        called = np.where(np.arange(150) < 2 * mistakes, 0, labels)
        found = bootstrap.intervals(np.eye(2)[called] * 0.8 + 0.1, labels, np.arange(150), resamples=200)
        figures = (found.overall["accuracy"], found.by_class["recall"][1], found.by_class["specificity"][0])
        lows.append([figure.low for figure in figures])
    assert (np.diff(lows, axis=0) < 0).all()


def test_one_patient_gives_no_interval() -> None:
    probabilities, labels = answers(10)
    found = bootstrap.intervals(probabilities, labels, np.zeros(10), resamples=100)
    assert all(math.isnan(bounds.low) and math.isnan(bounds.high) for bounds in found.overall.values())
    assert all(math.isnan(bounds.low) for classes in found.by_class.values() for bounds in classes)
    assert found.ece_if_calibrated.low > 0  # which does not hang on patients


def test_one_class_gives_no_auroc_interval() -> None:
    probabilities, labels = answers(10)
    found = bootstrap.intervals(probabilities, np.zeros_like(labels), np.arange(10), resamples=100)
    assert math.isnan(found.overall["auroc_macro"].low)
    assert not math.isnan(found.overall["accuracy"].low)


def test_arrays_of_different_length_are_refused() -> None:
    probabilities, labels = answers(10)
    with pytest.raises(InputError, match="lengths differ"):
        bootstrap.intervals(probabilities, labels, np.arange(9))


def test_the_calibration_alone_has_the_same_intervals() -> None:
    probabilities, labels = answers(80)
    groups = np.arange(80) // 2
    whole = bootstrap.intervals(probabilities, labels, groups, resamples=100)
    alone = bootstrap.calibration_intervals(probabilities, labels, groups, resamples=100)
    for name, bounds in alone.items():
        assert (bounds.low, bounds.high) == pytest.approx((whole.overall[name].low, whole.overall[name].high))


def test_drawing_in_parts_to_save_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, labels = answers(60)
    whole = bootstrap.intervals(probabilities, labels, np.arange(60) // 2, resamples=100)
    monkeypatch.setattr(bootstrap, "_WEIGHTS_AT_ONCE", 7 * 60)
    parts = bootstrap.intervals(probabilities, labels, np.arange(60) // 2, resamples=100)
    for name, bounds in whole.overall.items():
        assert (parts.overall[name].low, parts.overall[name].high) == pytest.approx((bounds.low, bounds.high))
