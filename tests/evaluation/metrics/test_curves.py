"""Curves are scikit-learn's, and thin ones keep their ends and area."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from secondread.evaluation.metrics.curves import PrCurve, pr_by_class, roc_by_class, roc_micro


def cases(images: int = 150, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that know something of the labels, with ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    odds = np.exp(rng.normal(size=(images, classes)).round(1) + np.eye(classes)[labels])
    return odds / odds.sum(axis=1, keepdims=True), labels


def many(images: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 2, images)
    positive = np.clip(rng.normal(0.4 + 0.2 * labels, 0.15), 0, 1)
    return np.stack([1 - positive, positive], axis=1), labels


def area_of_steps(curve: PrCurve) -> float:
    return float(np.sum(np.diff(curve.recall) * np.array(curve.precision[1:])))


def test_roc_curves_are_scikit_learns_and_enclose_the_auroc() -> None:
    probabilities, labels = cases()
    for index, curve in enumerate(roc_by_class(probabilities, labels)):
        assert curve is not None
        expected = roc_curve(labels == index, probabilities[:, index])
        for axis, values in zip((curve.fpr, curve.tpr, curve.thresholds), expected, strict=True):
            np.testing.assert_allclose(axis, values)
        area = roc_auc_score(labels == index, probabilities[:, index])
        assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(area)


def test_precision_recall_curves_are_scikit_learns_and_enclose_the_average_precision() -> None:
    probabilities, labels = cases(seed=1)
    for index, curve in enumerate(pr_by_class(probabilities, labels)):
        assert curve is not None
        precision, recall, thresholds = precision_recall_curve(labels == index, probabilities[:, index])
        known = dict(zip(thresholds, zip(recall, precision, strict=False), strict=False))
        assert [known[threshold] for threshold in curve.thresholds[1:]] == list(
            zip(curve.recall[1:], curve.precision[1:], strict=True)
        )
        assert (curve.recall[0], curve.precision[0], curve.thresholds[0], curve.recall[-1]) == (0, 1, np.inf, 1)
        assert curve.prevalence == pytest.approx((labels == index).mean())


@pytest.mark.parametrize("seed", [2, 3])
def test_the_steps_of_a_short_curve_enclose_the_average_precision(seed: int) -> None:
    probabilities, labels = cases(images=40, seed=seed)
    for index, curve in enumerate(pr_by_class(probabilities, labels)):
        assert curve is not None
        area = average_precision_score(labels == index, probabilities[:, index])
        assert area_of_steps(curve) == pytest.approx(area, abs=0.02)  # points on one line are left out


def test_long_curves_are_thinned_but_keep_their_ends_and_area() -> None:
    probabilities, labels = many()
    roc, pr = roc_by_class(probabilities, labels)[1], pr_by_class(probabilities, labels)[1]
    assert roc is not None
    assert pr is not None
    assert len(roc.fpr) == len(pr.recall) == 200
    assert (roc.fpr[0], roc.tpr[0], roc.fpr[-1], roc.tpr[-1]) == (0, 0, 1, 1)
    area = roc_auc_score(labels, probabilities[:, 1])
    assert np.trapezoid(roc.tpr, roc.fpr) == pytest.approx(area, abs=1e-3)
    assert (pr.recall[0], pr.recall[-1], pr.precision[-1]) == (0, 1, pytest.approx(labels.mean(), abs=0.01))
    assert area_of_steps(pr) == pytest.approx(average_precision_score(labels, probabilities[:, 1]), abs=5e-3)


def test_a_class_that_no_or_every_image_has_has_no_curve() -> None:
    probabilities, labels = cases(seed=4)
    for curves in (roc_by_class, pr_by_class):
        assert curves(probabilities[labels != 2], labels[labels != 2])[2] is None
        assert curves(probabilities[labels == 2], labels[labels == 2])[2] is None


def test_the_micro_curve_asks_one_question_for_each_image_and_class() -> None:
    probabilities, labels = cases(seed=7)
    curve = roc_micro(probabilities, labels)
    fpr, tpr, _ = roc_curve(np.eye(3)[labels].ravel(), probabilities.ravel())
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(np.trapezoid(tpr, fpr), abs=1e-3)
