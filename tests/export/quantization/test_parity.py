"""How much two graphs of one model differ."""

import numpy as np
import pytest

from secondread.errors import InputError
from secondread.export.quantization.parity import compare
from secondread.model.session import Outputs


def outputs(probabilities: list[list[float]], scores: list[float]) -> Outputs:
    array = np.array(probabilities, dtype=np.float32)
    return Outputs(array, np.zeros((len(array), 2), dtype=np.float32), np.array(scores, dtype=np.float32))


def test_the_same_answers_do_not_differ() -> None:
    same = outputs([[0.9, 0.1], [0.3, 0.7]], [0.5, 1.5])
    found = compare(same, same, out_of_distribution=(1.0, 1.0))
    assert found.same_label == 1
    assert found.probability_difference_max == 0
    assert found.out_of_distribution_changed == 0


def test_differences_are_counted() -> None:
    one = outputs([[0.9, 0.1], [0.55, 0.45], [0.2, 0.8], [0.7, 0.3]], [0.5, 0.9, 1.5, 0.1])
    other = outputs([[0.9, 0.1], [0.45, 0.55], [0.2, 0.8], [0.4, 0.6]], [0.5, 1.1, 1.2, 0.1])
    found = compare(one, other, out_of_distribution=(1.0, 1.0))
    assert found.same_label == 0.5
    assert found.probability_difference_max == pytest.approx(0.3)
    assert found.probability_difference_mean == pytest.approx((2 * 0.1 + 2 * 0.3) / 8)
    assert found.out_of_distribution_changed == 0.25


def test_answers_to_different_images_are_not_compared() -> None:
    with pytest.raises(InputError, match="same images"):
        compare(outputs([[1, 0]], [0]), outputs([[1, 0], [1, 0]], [0, 0]), out_of_distribution=(1.0, 1.0))
