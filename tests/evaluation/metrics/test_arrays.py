"""What is no probability or label is refused; shares of nothing are NaN."""

import numpy as np
import pytest

from secondread.errors import InputError
from secondread.evaluation.metrics.arrays import check, mean_of_defined, once, ratio


@pytest.mark.parametrize(
    ("probabilities", "labels", "says"),
    [
        (np.array([[2.0, -1.0], [0.3, 0.4]]), np.array([0, 1]), "softmax"),
        (np.array([[0.3, 0.4], [0.5, 0.5]]), np.array([0, 1]), "softmax"),
        (np.array([[np.nan, 0.4], [0.5, 0.5]]), np.array([0, 1]), "softmax"),
        (np.array([[0.5, 0.5]]), np.array([0, 1]), "do not fit"),
        (np.array([0.5, 0.5]), np.array([0, 1]), "do not fit"),
        (np.array([[0.5, 0.5]]), np.array([2]), "2 classes"),
        (np.array([[0.5, 0.5]]), np.array([-1]), "2 classes"),
        (np.array([[0.5, 0.5]]), np.array([0.0]), "integers"),
        (np.empty((0, 3)), np.empty(0, dtype=int), "0 images"),
        (np.ones((3, 1)), np.zeros(3, dtype=int), "1 classes"),
    ],
)
def test_what_is_no_probability_or_label_is_refused(probabilities: np.ndarray, labels: np.ndarray, says: str) -> None:
    with pytest.raises(InputError, match=says):
        check(probabilities, labels)


def test_a_share_of_nothing_is_not_known() -> None:
    np.testing.assert_array_equal(ratio(np.array([1, 0]), np.array([2, 0])), [0.5, np.nan])


def test_means_leave_out_what_is_not_known() -> None:
    values = np.array([[0.2, np.nan, 0.6], [np.nan, np.nan, np.nan]])
    np.testing.assert_allclose(mean_of_defined(values), [0.4, np.nan])


def test_the_images_as_they_are_count_once_each() -> None:
    np.testing.assert_array_equal(once(3), [[1, 1, 1]])
