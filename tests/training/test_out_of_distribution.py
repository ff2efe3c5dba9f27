"""The score is the Mahalanobis distance of scipy under the covariance of scikit-learn, and tells strangers apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from secondread.training.out_of_distribution import fit_out_of_distribution, threshold


@pytest.fixture
def embeddings() -> tuple[np.ndarray, np.ndarray]:
    """600 embeddings of 12 numbers in three classes, correlated."""
    random = np.random.default_rng(0)
    labels = np.arange(600) % 3
    spread = random.normal(size=(12, 12)) / 3
    return (random.normal(size=(600, 12)) @ spread + 3 * random.normal(size=(3, 12))[labels]).astype(np.float32), labels


def test_it_is_the_mahalanobis_distance_to_the_nearest_class(embeddings: tuple[np.ndarray, np.ndarray]) -> None:
    values, labels = embeddings
    means = [values[labels == index].mean(axis=0, dtype=np.float64) for index in range(3)]
    centred = np.concatenate([values[labels == index] - means[index] for index in range(3)])
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(centred).covariance_)
    strangers = np.random.default_rng(1).normal(0, 4, (20, 12))
    expected = [min(mahalanobis(row, mean, precision) for mean in means) / np.sqrt(12) for row in strangers]
    fitted = fit_out_of_distribution(values, labels, classes=3)
    np.testing.assert_allclose(fitted.score(strangers), expected, rtol=1e-4)


def test_training_images_score_about_one_and_strangers_more(embeddings: tuple[np.ndarray, np.ndarray]) -> None:
    values, labels = embeddings
    fitted = fit_out_of_distribution(values, labels, classes=3)
    own, strangers = fitted.score(values), fitted.score(np.random.default_rng(1).normal(0, 6, (200, 12)))
    assert own.mean() == pytest.approx(1, abs=0.15)
    assert (strangers > threshold(own, share=0.05)).mean() > 0.9


def test_the_threshold_turns_away_the_share_it_may() -> None:
    scores = np.random.default_rng(0).gamma(3, size=2000)
    assert (scores > threshold(scores, share=0.05)).mean() == pytest.approx(0.05, abs=0.001)
    assert (scores > threshold(scores, share=0)).sum() == 0


def test_a_direction_without_spread_does_not_count_infinitely() -> None:
    """LayerNorm leaves one direction of an embedding constant."""
    random = np.random.default_rng(0)
    values = random.normal(size=(50, 8))
    values -= values.mean(axis=1, keepdims=True)
    fitted = fit_out_of_distribution(values, np.arange(50) % 2, classes=2)
    assert np.isfinite(fitted.whitening).all()
    assert fitted.score(values).max() < 4
