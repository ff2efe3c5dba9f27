"""Calibration figures, against torchmetrics and hand-made cases."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from secondread.evaluation.calibration import brier, ece, nll, reliability


@pytest.fixture
def guesses() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(5), 500).astype(np.float32), rng.integers(0, 5, 500)


def test_calibration_error_agrees_with_torchmetrics(guesses: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = guesses
    expected = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=5, n_bins=15, norm="l1"
    )
    assert ece(reliability(probabilities, labels)) == pytest.approx(float(expected), abs=1e-6)


def test_log_loss_agrees_with_scikit_learn(guesses: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = guesses
    normalised = probabilities.astype(np.float64) / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    assert nll(normalised, labels) == pytest.approx(log_loss(labels, normalised, labels=range(5)), rel=1e-4)


def test_an_impossible_answer_costs_much_but_not_infinitely() -> None:
    assert nll(np.array([[1.0, 0.0]], dtype=np.float32), np.array([1])) == pytest.approx(-math.log(2**-23))


def test_brier_score_runs_from_0_to_2() -> None:
    sure = np.eye(3, dtype=np.float32)
    assert brier(sure, np.array([0, 1, 2])) == 0
    assert brier(sure, np.array([1, 2, 0])) == 2
    assert brier(np.full((1, 2), 0.5), np.array([0])) == pytest.approx(0.5)


def test_brier_score_is_the_sum_over_classes(guesses: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = guesses
    expected = np.mean(
        [
            sum((float(p) - (index == label)) ** 2 for index, p in enumerate(row))
            for row, label in zip(probabilities, labels, strict=True)
        ]
    )
    assert brier(probabilities, labels) == pytest.approx(expected)


def test_confidence_80_that_is_right_6_times_in_10_is_off_by_20_points() -> None:
    probabilities = np.tile([[0.8, 0.2]], (10, 1))
    labels = np.array([0] * 6 + [1] * 4)
    bins = reliability(probabilities, labels)
    (filled,) = [item for item in bins if item.count]
    assert (filled.count, filled.accuracy) == (10, 0.6)
    assert filled.confidence == pytest.approx(0.8)
    assert filled.low < 0.8 <= filled.high
    assert ece(bins) == pytest.approx(0.2)


def test_bins_cover_everything_and_close_on_the_right() -> None:
    probabilities = np.array([[1.0, 0.0], [0.6, 0.4], [0.5, 0.5]])
    bins = reliability(probabilities, np.array([0, 0, 0]), bins=5)
    assert [item.count for item in bins] == [0, 0, 2, 0, 1]  # 0.6 belongs to (0.4, 0.6]
    assert math.isnan(bins[0].accuracy)
