"""Ranking figures of weighted draws, against scikit-learn's weights, torchmetrics on copies, and counting."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.functional.classification import (
    binary_sensitivity_at_specificity,
    binary_specificity_at_sensitivity,
)

from secondread.evaluation.metrics import ranking

FLOAT32 = 1e-6


def draws(seed: int, *, decimals: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """60 images whose few decimals make ties, and 12 draws of them, some with a weight of 0."""
    rng = np.random.default_rng(seed)
    positive = rng.random(60) < 0.4
    scores = (rng.random(60) * 0.7 + 0.3 * positive).round(decimals)
    return positive, scores, rng.integers(0, 4, (12, 60))


@pytest.mark.parametrize("decimals", [1, 6])
def test_areas_agree_with_scikit_learn_on_weights(decimals: int) -> None:
    positive, scores, weights = draws(0, decimals=decimals)
    ranks = ranking.rank(positive, scores, weights)
    for draw, weight in enumerate(weights):
        area = roc_auc_score(positive, scores, sample_weight=weight)
        precision = average_precision_score(positive, scores, sample_weight=weight)
        assert ranking.auroc(ranks)[draw] == pytest.approx(area)
        assert ranking.average_precision(ranks)[draw] == pytest.approx(precision)


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    """The definition, counted pair by pair; a tie is half a pair."""
    positive, scores, weights = draws(1)
    found = ranking.auroc(ranking.rank(positive, scores, weights))
    for draw, weight in enumerate(weights):
        copies = np.repeat(np.arange(60), weight)
        one, other = scores[copies][positive[copies]], scores[copies][~positive[copies]]
        above = (one[:, None] > other).mean() + 0.5 * (one[:, None] == other).mean()
        assert found[draw] == pytest.approx(above)


@pytest.mark.parametrize("asked", [0.37, 0.83, 0.97])
def test_operating_points_agree_with_torchmetrics_on_copied_images(asked: float) -> None:
    positive, scores, weights = draws(2)
    ranks = ranking.rank(positive, scores, weights)
    sensitivity = ranking.sensitivity_at_specificity(ranks, asked)
    specificity = ranking.specificity_at_sensitivity(ranks, asked)
    for draw, weight in enumerate(weights):
        copies = np.repeat(np.arange(60), weight)
        arrays = torch.from_numpy(scores[copies]), torch.from_numpy(positive[copies].astype(int))
        expected, _ = binary_sensitivity_at_specificity(*arrays, min_specificity=asked)
        assert sensitivity[draw] == pytest.approx(float(expected), abs=FLOAT32)
        expected, _ = binary_specificity_at_sensitivity(*arrays, min_sensitivity=asked)
        assert specificity[draw] == pytest.approx(float(expected), abs=FLOAT32)


def test_a_specificity_that_is_just_reached_counts_as_reached() -> None:
    """Of 10 negatives one is above: exactly 90 %, which floats do not say."""
    scores = np.array([*np.linspace(0, 0.4, 9), 0.9, 0.8, 0.2])
    positive = np.array([False] * 10 + [True] * 2)
    ranks = ranking.rank(positive, scores, np.ones((1, 12), int))
    assert ranking.sensitivity_at_specificity(ranks, 0.9)[0] == 0.5
    assert ranking.sensitivity_at_specificity(ranks, 0.95)[0] == 0
    assert ranking.specificity_at_sensitivity(ranks, 0.5)[0] == 0.9


def test_images_of_one_score_are_let_through_together_whatever_their_order() -> None:
    positive = np.array([True, False, True, False])
    scores = np.full(4, 0.5)
    for order in ([0, 1, 2, 3], [1, 3, 0, 2]):
        ranks = ranking.rank(positive[order], scores, np.ones((1, 4), int))
        assert ranking.auroc(ranks)[0] == 0.5
        assert ranking.average_precision(ranks)[0] == 0.5
        assert ranking.sensitivity_at_specificity(ranks, 0.5)[0] == 0
        assert ranking.specificity_at_sensitivity(ranks, 0.5)[0] == 0


@pytest.mark.parametrize("weights", [[1, 1, 0, 0], [0, 0, 1, 1]])
def test_a_draw_of_one_side_alone_cannot_be_ranked(weights: list[int]) -> None:
    ranks = ranking.rank(np.array([True, True, False, False]), np.array([0.9, 0.8, 0.2, 0.1]), np.array([weights]))
    figures = (
        ranking.auroc(ranks),
        ranking.average_precision(ranks),
        ranking.sensitivity_at_specificity(ranks, 0.9),
        ranking.specificity_at_sensitivity(ranks, 0.9),
    )
    assert np.isnan(figures).all()


def test_the_wrong_way_round_is_0_and_the_right_way_1() -> None:
    positive, scores = np.array([True, True, False]), np.array([0.9, 0.8, 0.1])
    right, wrong = (ranking.rank(side, scores, np.ones((1, 3), int)) for side in (positive, ~positive))
    for figure in (ranking.auroc, ranking.average_precision):
        assert figure(right)[0] == 1
    assert ranking.auroc(wrong)[0] == 0
    assert ranking.average_precision(wrong)[0] == pytest.approx(1 / 3)
