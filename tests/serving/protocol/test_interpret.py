"""From figures to words."""

from __future__ import annotations

import numpy as np

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
