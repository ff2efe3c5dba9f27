"""Balanced accuracy by group: against scikit-learn's own, against chance, and against certainty."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from secondread.config.audit import AuditConfig
from secondread.data.audit.separability import _balanced_accuracy, _folds, measure

CONFIG = AuditConfig()


def make(images: int = 600, classes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, images // 2, images))
    groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    return rng.normal(size=(images, 4)).astype(np.float32), rng.integers(0, classes, images), groups


def test_noise_is_told_from_chance_by_no_more_than_its_interval() -> None:
    noise, labels, groups = make()
    found = measure(noise, labels, groups, CONFIG)
    assert found.chance == pytest.approx(1 / 3)
    assert found.low < found.chance + 0.02
    assert found.high > found.chance


def test_the_label_itself_tells_the_label() -> None:
    noise, labels, groups = make()
    noise[:, 2] = labels
    found = measure(noise, labels, groups, CONFIG)
    assert found.low > 0.97
    assert found.certainty.min() > 0.3


def test_what_tells_the_patient_does_not_tell_the_label_of_another() -> None:
    """Each group has a colour of its own and one label: learned by heart, it would seem to tell the label."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(80), 8)
    labels, colours = rng.integers(0, 2, 80), rng.normal(size=(80, 3))
    features = (colours[groups] + rng.normal(scale=0.01, size=(640, 3))).astype(np.float32)
    found = measure(features, labels[groups], groups, CONFIG)
    assert found.low < 0.5 < found.high + 0.05


def test_a_group_is_in_one_fold_and_every_fold_has_every_label() -> None:
    _, labels, groups = make()
    fold = _folds(labels, groups, CONFIG)
    assert all(len(set(fold[groups == group])) == 1 for group in np.unique(groups))
    assert all(set(labels[fold == number]) == {0, 1, 2} for number in range(CONFIG.folds))
    assert np.ptp(np.bincount(fold)) < 40


def test_the_value_is_that_of_scikit_learn_and_lies_in_its_interval() -> None:
    rng = np.random.default_rng(2)
    _, labels, groups = make()
    predicted = np.where(rng.random(600) < 0.6, labels, rng.integers(0, 3, 600))
    value, low, high = _balanced_accuracy(predicted == labels, labels, groups, CONFIG)
    assert value == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert low < value < high
    assert 0.03 < high - low < 0.12
