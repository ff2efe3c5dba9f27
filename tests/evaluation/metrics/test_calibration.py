"""Calibration figures, against plain loops, scikit-learn and hand-made cases."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss

from secondread.errors import InputError
from secondread.evaluation.metrics.calibration import brier, ece, gaps, nll, reliability, without_scaling


@pytest.fixture
def guesses() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(5), 500).astype(np.float32), rng.integers(0, 5, 500)


def ece_by_loop(probabilities: np.ndarray, labels: np.ndarray, *, bins: int) -> float:
    """Every image as so many copies as there are bins, so that all bins are whole; like confidences are right alike."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    shared = np.array([right[confidence == each].mean() for each in confidence])
    copies = np.repeat(np.argsort(confidence), bins)
    parts = copies.reshape(bins, -1)
    return float(np.mean([abs(shared[part].mean() - confidence[part].mean()) for part in parts]))


@pytest.mark.parametrize("images", [1, 7, 15, 60, 100])
@pytest.mark.parametrize("decimals", [1, 8])
def test_calibration_error_is_what_a_loop_over_copies_gives(images: int, decimals: int) -> None:
    """60 fills 15 bins evenly; one decimal makes ties."""
    rng = np.random.default_rng(images)
    first = (0.5 + 0.5 * rng.random(images)).round(decimals)
    probabilities, labels = np.stack([first, 1 - first], axis=1), rng.integers(0, 2, images)
    assert ece(probabilities, labels) == pytest.approx(ece_by_loop(probabilities, labels, bins=15))


def test_calibration_error_does_not_hang_on_the_order_of_images() -> None:
    rng = np.random.default_rng(1)
    first = (0.5 + 0.5 * rng.random(200)).round(1)
    probabilities, labels = np.stack([first, 1 - first], axis=1), rng.integers(0, 2, 200)
    order = rng.permutation(200)
    assert ece(probabilities[order], labels[order]) == pytest.approx(ece(probabilities, labels))


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
    normalised = probabilities.astype(np.float64) / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    expected = brier_score_loss(labels, normalised, labels=range(5), scale_by_half=False)
    assert brier(normalised, labels) == pytest.approx(expected)


def test_confidence_80_that_is_right_6_times_in_10_is_off_by_20_points() -> None:
    probabilities = np.tile([[0.8, 0.2]], (10, 1))
    labels = np.array([0] * 6 + [1] * 4)
    for item in reliability(probabilities, labels, bins=5):
        assert (item.count, item.low, item.high) == (2, 0.8, 0.8)
        assert item.confidence == pytest.approx(0.8)
        assert item.accuracy == pytest.approx(0.6)
        assert math.isnan(item.likely_low)
    assert ece(probabilities, labels) == pytest.approx(0.2)
    np.testing.assert_allclose(gaps(probabilities, labels, np.ones((1, 10), int)), -0.2)


def test_bins_hold_as_many_images_and_share_those_on_their_borders() -> None:
    first = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
    probabilities = np.stack([first, 1 - first], axis=1)
    low, high = reliability(probabilities, np.array([0, 1, 0, 0, 0]), bins=2)
    assert (low.count, high.count) == (2.5, 2.5)
    assert (low.low, low.high, high.low, high.high) == (0.5, 0.7, 0.7, 0.9)
    assert low.confidence == pytest.approx((0.5 + 0.6 + 0.7 / 2) / 2.5)
    assert low.accuracy == pytest.approx((1 + 0 + 1 / 2) / 2.5)
    assert high.accuracy == 1


def test_the_mean_gap_of_the_bins_is_the_calibration_error(guesses: tuple[np.ndarray, np.ndarray]) -> None:
    bins = reliability(*guesses)
    assert np.mean([abs(item.accuracy - item.confidence) for item in bins]) == pytest.approx(ece(*guesses))
    assert sum(item.count for item in bins) == pytest.approx(500)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("margin_power", [0.6, 1.0, 1.8])
def test_the_scaling_can_be_undone(temperature: float, margin_power: float) -> None:
    logits = torch.from_numpy(np.random.default_rng(2).normal(size=(50, 4)))
    margins = logits.max(dim=1, keepdim=True).values - logits
    served = torch.softmax(-((margins / temperature) ** margin_power), dim=1).numpy()
    found = without_scaling(served, temperature=temperature, margin_power=margin_power)
    np.testing.assert_allclose(found, torch.softmax(logits, dim=1).numpy(), atol=1e-6)


def test_a_power_of_1_is_a_temperature() -> None:
    logits = np.random.default_rng(2).normal(size=(50, 4)) * 3
    served = torch.softmax(torch.from_numpy(logits / 1.7).float(), dim=1).numpy()
    expected = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
    np.testing.assert_allclose(without_scaling(served, temperature=1.7), expected, atol=2e-6)


def test_what_was_rounded_to_0_stays_next_to_0_without_scaling() -> None:
    found = without_scaling(np.array([[1.0, 0.0]], dtype=np.float32), temperature=1.5)
    assert found[0, 1] == pytest.approx(0, abs=1e-30)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("number", [0.0, -1.0, float("nan")])
def test_no_scaling_by_what_is_not_above_0_is_undone(number: float) -> None:
    with pytest.raises(InputError, match=r"the temperature is .* above 0"):
        without_scaling(np.array([[0.5, 0.5]]), temperature=number)
    with pytest.raises(InputError, match=r"the margin power is .* above 0"):
        without_scaling(np.array([[0.5, 0.5]]), temperature=1.0, margin_power=number)
