"""Figures of a classifier, against torchmetrics, scikit-learn and hand-made cases."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support, roc_curve
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_confusion_matrix,
    multiclass_f1_score,
)

from secondread.errors import InputError
from secondread.evaluation import metrics


def cases(images: int = 300, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that know something of the labels, with ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    logits = rng.normal(size=(images, classes)).round(1)
    logits[np.arange(images), labels] += 1
    exponents = np.exp(logits)
    return (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32), labels


def test_overall_figures_agree_with_torchmetrics() -> None:
    probabilities, labels = cases()
    scores, truth = torch.from_numpy(probabilities), torch.from_numpy(labels)
    found = metrics.overall(probabilities, labels)
    assert found["accuracy"] == pytest.approx(float(multiclass_accuracy(scores, truth, 4, average="micro")))
    assert found["balanced_accuracy"] == pytest.approx(float(multiclass_accuracy(scores, truth, 4, average="macro")))
    assert found["f1_macro"] == pytest.approx(float(multiclass_f1_score(scores, truth, 4, average="macro")))
    assert found["auroc_macro"] == pytest.approx(float(multiclass_auroc(scores, truth, 4, average="macro")), abs=1e-6)


def test_figures_of_each_class_agree_with_scikit_learn() -> None:
    probabilities, labels = cases(seed=1)
    precision, recall, f1, support = precision_recall_fscore_support(labels, probabilities.argmax(axis=1))
    for index, found in enumerate(metrics.per_class(probabilities, labels)):
        expected = (precision[index], recall[index], f1[index], support[index])
        assert (found.precision, found.recall, found.f1, found.support) == pytest.approx(expected)
        assert found.predicted == (probabilities.argmax(axis=1) == index).sum()


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    """The definition, counted pair by pair; a tie is half a pair."""
    probabilities, labels = cases(images=80, seed=2)
    for index, area in enumerate(metrics.auroc_by_class(probabilities, labels)):
        scores = probabilities[:, index]
        above = [
            float(one > other) + 0.5 * float(one == other)
            for one in scores[labels == index]
            for other in scores[labels != index]
        ]
        assert area == pytest.approx(np.mean(above))


def test_confusion_has_a_row_for_each_true_class() -> None:
    probabilities, labels = cases(seed=3)
    expected = multiclass_confusion_matrix(torch.from_numpy(probabilities), torch.from_numpy(labels), 4).numpy()
    np.testing.assert_array_equal(metrics.confusion(probabilities, labels), expected)


def test_what_is_called_another_class_stands_in_its_column() -> None:
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8], [0.7, 0.3]])
    assert metrics.confusion(probabilities, np.array([0, 1, 0])).tolist() == [[1, 1], [0, 1]]


def test_a_class_without_images_has_no_recall_and_is_left_out_of_means() -> None:
    probabilities, labels = cases(seed=4)
    probabilities, labels = probabilities[labels != 2], labels[labels != 2]
    absent = metrics.per_class(probabilities, labels)[2]
    assert absent.support == 0
    assert absent.predicted > 0
    assert absent.precision == 0  # every time it was named, it was wrong
    assert all(math.isnan(value) for value in (absent.recall, absent.f1, absent.auroc))
    present = metrics.per_class(probabilities, labels)[:2] + metrics.per_class(probabilities, labels)[3:]
    found = metrics.overall(probabilities, labels)
    assert found["balanced_accuracy"] == pytest.approx(np.mean([item.recall for item in present]))
    assert found["f1_macro"] == pytest.approx(np.mean([item.f1 for item in present]))
    assert found["auroc_macro"] == pytest.approx(np.mean([item.auroc for item in present]))
    assert metrics.roc_by_class(probabilities, labels)[2] is None


def test_a_class_that_is_never_called_has_no_precision() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2]])
    found = metrics.per_class(probabilities, np.array([0, 1]))[1]
    assert math.isnan(found.precision)
    assert (found.recall, found.f1) == (0, 0)


def test_one_class_alone_has_an_accuracy_but_no_auroc() -> None:
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]])
    found = metrics.overall(probabilities, np.array([0, 0]))
    assert found["accuracy"] == 0.5
    assert math.isnan(found["auroc_macro"])


def test_roc_curve_is_scikit_learns_and_encloses_the_auroc() -> None:
    probabilities, labels = cases(seed=5)
    for index, curve in enumerate(metrics.roc_by_class(probabilities, labels)):
        assert curve is not None
        fpr, tpr, thresholds = roc_curve(labels == index, probabilities[:, index])
        np.testing.assert_allclose(curve.fpr, fpr)
        np.testing.assert_allclose(curve.tpr, tpr)
        np.testing.assert_allclose(curve.thresholds, thresholds)
        area = metrics.auroc_by_class(probabilities, labels)[index]
        assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(area)


def test_a_long_roc_curve_is_thinned_but_keeps_its_ends_and_area() -> None:
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 2, 20_000)
    positive = np.clip(rng.normal(0.4 + 0.2 * labels, 0.15), 0, 1)
    probabilities = np.stack([1 - positive, positive], axis=1)
    curve = metrics.roc_by_class(probabilities, labels)[1]
    assert curve is not None
    assert len(curve.fpr) <= 200
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
    area = metrics.auroc_by_class(probabilities, labels)[1]
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(area, abs=1e-3)


def test_the_micro_curve_asks_one_question_for_each_image_and_class() -> None:
    probabilities, labels = cases(seed=7)
    curve = metrics.roc_micro(probabilities, labels)
    fpr, tpr, _ = roc_curve(np.eye(4)[labels].ravel(), probabilities.ravel())
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(np.trapezoid(tpr, fpr), abs=1e-3)


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
        metrics.check(probabilities, labels)
