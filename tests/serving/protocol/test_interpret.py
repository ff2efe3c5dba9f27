"""From figures to words."""

from __future__ import annotations

import numpy as np
import pytest

from secondread.errors import DependencyError
from secondread.model.folder import ModelFolder
from secondread.serving.protocol.interpret import interpret


def test_words_follow_the_largest_probability_and_the_thresholds_of_the_model(model: ModelFolder) -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6], [0.8, 0.1, 0.1]], np.float32)
    ood_score = np.array([0.1, 0.9, 0.5, 0.91], np.float32)
    reading = interpret(probabilities, ood_score, model.config)
    assert reading.labels == ["cxr-normal", "cxr-covid", "cxr-opacity", "cxr-normal"]
    np.testing.assert_array_equal(reading.confidence, np.array([0.7, 0.6, 0.6, 0.8], np.float32))
    # at the threshold an image still belongs; above it nothing is routine any more
    assert reading.out_of_distribution.tolist() == [False, False, False, True]
    assert reading.urgency == ["routine", "urgent", "unknown", "unknown"]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_figures_that_are_no_numbers_are_said_of_nobody(model: ModelFolder, wrong: float) -> None:
    """One such row is of a graph that is broken; before, it was answered as if it belonged, with the first label."""
    probabilities, ood_score = np.full((2, 3), 1 / 3, np.float32), np.zeros(2, np.float32)
    one, other = probabilities.copy(), ood_score.copy()
    one[1, 0], other[1] = wrong, wrong
    for figures in ((one, ood_score), (probabilities, other)):
        with pytest.raises(DependencyError, match="figures are no numbers") as caught:
            interpret(*figures, model.config)
        assert caught.value.http_status == 503
