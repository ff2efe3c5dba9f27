"""Intervals by resampling patients, against a plain loop over copied images, and by how often they hold the truth."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from secondread.errors import InputError
from secondread.evaluation import bootstrap


def answers(images: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    scores = rng.dirichlet(np.ones(classes), images)
    scores[np.arange(images), labels] += 0.3
    scores = scores.round(2)  # ties
    return scores / scores.sum(axis=1, keepdims=True), labels


def test_every_draw_is_what_a_loop_over_copied_images_gives() -> None:
    """Weights must mean the same as really repeating the images of the drawn patients."""
    probabilities, labels = answers(90)
    groups = np.arange(90) // 3
    weights = bootstrap.group_weights(groups, resamples=20, seed=1)
    accuracy = bootstrap.weighted_accuracy(probabilities.argmax(axis=1) == labels, weights)
    for draw in range(20):
        copies = np.repeat(np.arange(90), weights[draw])
        assert accuracy[draw] == pytest.approx((probabilities[copies].argmax(axis=1) == labels[copies]).mean())
    for index in range(3):
        areas = bootstrap.weighted_auroc(labels == index, probabilities[:, index], weights)
        for draw in range(20):
            copies = np.repeat(np.arange(90), weights[draw])
            expected = roc_auc_score(labels[copies] == index, probabilities[copies, index])
            assert areas[draw] == pytest.approx(expected)


def test_images_of_a_patient_are_drawn_together() -> None:
    groups = np.array(["b", "a", "b", "c", "b", "a"])
    weights = bootstrap.group_weights(groups, resamples=50, seed=0)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] == weights[:, 4]).all()
    assert (weights[:, 1] == weights[:, 5]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()  # as many patients as there are


def test_bounds_are_percentiles_of_the_draws() -> None:
    probabilities, labels = answers(120, seed=2)
    groups = np.arange(120) // 2
    found = bootstrap.intervals(probabilities, labels, groups, resamples=200, seed=3)
    weights = bootstrap.group_weights(groups, resamples=200, seed=3)
    accuracy, auroc = [], []
    for draw in range(200):
        copies = np.repeat(np.arange(120), weights[draw])
        accuracy.append((probabilities[copies].argmax(axis=1) == labels[copies]).mean())
        areas = [roc_auc_score(labels[copies] == index, probabilities[copies, index]) for index in range(3)]
        auroc.append(np.mean(areas))
    for name, values in (("accuracy", accuracy), ("auroc_macro", auroc)):
        assert (found[name].low, found[name].high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_the_same_seed_gives_the_same_interval() -> None:
    probabilities, labels = answers(60)
    one, same, other = (
        bootstrap.intervals(probabilities, labels, np.arange(60), resamples=100, seed=seed) for seed in (7, 7, 8)
    )
    assert one == same
    assert one != other


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
            draws = bootstrap.weighted_accuracy(right, bootstrap.group_weights(names, resamples=200, seed=trial))
            low, high = np.percentile(draws, [2.5, 97.5])
            held[unit] += low <= 0.8 <= high
    assert 0.90 <= held["patients"] / trials <= 0.99
    assert held["images"] / trials < 0.85


def test_a_class_that_a_draw_misses_is_left_out_of_that_draw() -> None:
    probabilities, labels = answers(30, seed=5)
    labels[:] = 0
    labels[:10] = 1
    labels[10] = 2  # one image: a third of the draws has none of it
    found = bootstrap.intervals(probabilities, labels, np.arange(30), resamples=300)
    assert 0 <= found["auroc_macro"].low <= found["auroc_macro"].high <= 1


def test_one_patient_gives_no_interval() -> None:
    probabilities, labels = answers(10)
    found = bootstrap.intervals(probabilities, labels, np.zeros(10), resamples=100)
    assert math.isnan(found["accuracy"].low)
    assert math.isnan(found["auroc_macro"].high)


def test_one_class_gives_no_auroc_interval() -> None:
    probabilities, labels = answers(10)
    found = bootstrap.intervals(probabilities, np.zeros_like(labels), np.arange(10), resamples=100)
    assert math.isnan(found["auroc_macro"].low)
    assert not math.isnan(found["accuracy"].low)


def test_arrays_of_different_length_are_refused() -> None:
    probabilities, labels = answers(10)
    with pytest.raises(InputError, match="lengths differ"):
        bootstrap.intervals(probabilities, labels, np.arange(9))


def test_drawing_in_parts_to_save_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, labels = answers(60)
    whole = bootstrap.intervals(probabilities, labels, np.arange(60) // 2, resamples=100)
    monkeypatch.setattr(bootstrap, "_WEIGHTS_AT_ONCE", 7 * 60)
    assert bootstrap.intervals(probabilities, labels, np.arange(60) // 2, resamples=100) == whole
