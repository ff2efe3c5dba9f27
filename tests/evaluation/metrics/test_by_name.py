"""Figures of a classifier, against torchmetrics, scikit-learn's weights, and hand-made cases."""

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    recall_score,
    roc_auc_score,
    roc_curve,
)
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_auroc,
    multiclass_average_precision,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
    multiclass_sensitivity_at_specificity,
    multiclass_specificity,
    multiclass_specificity_at_sensitivity,
)

from secondread.evaluation.metrics import by_name as metrics
from secondread.evaluation.metrics.arrays import once
from secondread.evaluation.metrics.calibration import ece

CLASSES = 4


def cases(images: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that know something of the labels, with ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, images)
    odds = np.exp(rng.normal(size=(images, CLASSES)).round(1) + np.eye(CLASSES)[labels])
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), labels


def plain(probabilities: np.ndarray, labels: np.ndarray, **fixed: float) -> metrics.Measured:
    return metrics.measure(probabilities, labels, once(len(labels)), **fixed)


def test_every_figure_has_one_name() -> None:
    found = plain(*cases())
    assert set(found.overall) == set(metrics.OVERALL)
    assert set(found.by_class) == set(metrics.BY_CLASS)
    assert {*metrics.COUNTS} < set(metrics.BY_CLASS)
    assert {*metrics.LOWER_IS_BETTER} < set(metrics.OVERALL)


def test_overall_figures_agree_with_torchmetrics() -> None:
    probabilities, labels = cases()
    scores, truth = torch.from_numpy(probabilities), torch.from_numpy(labels)
    found = metrics.overall(probabilities, labels)
    for name, function, average in (
        ("accuracy", multiclass_accuracy, "micro"),
        ("balanced_accuracy", multiclass_accuracy, "macro"),
        ("f1_macro", multiclass_f1_score, "macro"),
        ("auroc_macro", multiclass_auroc, "macro"),
        ("average_precision_macro", multiclass_average_precision, "macro"),
    ):
        assert found[name] == pytest.approx(float(function(scores, truth, CLASSES, average=average)), abs=1e-6), name


def test_figures_of_each_class_agree_with_torchmetrics() -> None:
    probabilities, labels = cases(seed=1)
    scores, truth = torch.from_numpy(probabilities), torch.from_numpy(labels)
    found = plain(probabilities, labels, fixed_specificity=0.83, fixed_sensitivity=0.77).by_class
    for name, function in (
        ("precision", multiclass_precision),
        ("recall", multiclass_recall),
        ("specificity", multiclass_specificity),
        ("f1", multiclass_f1_score),
        ("auroc", multiclass_auroc),
        ("average_precision", multiclass_average_precision),
    ):
        expected = function(scores, truth, CLASSES, average="none")
        np.testing.assert_allclose(found[name][0], expected, atol=1e-6, err_msg=name)
    at, _ = multiclass_sensitivity_at_specificity(scores, truth, CLASSES, min_specificity=0.83)
    np.testing.assert_allclose(found["sensitivity_at_specificity"][0], at, atol=1e-6)
    at, _ = multiclass_specificity_at_sensitivity(scores, truth, CLASSES, min_sensitivity=0.77)
    np.testing.assert_allclose(found["specificity_at_sensitivity"][0], at, atol=1e-6)
    np.testing.assert_array_equal(found["support"][0], np.bincount(labels))
    np.testing.assert_array_equal(found["predicted"][0], np.bincount(probabilities.argmax(axis=1)))


def test_weighted_figures_agree_with_scikit_learns_weights() -> None:
    probabilities, labels = cases(images=120, seed=2)
    probabilities = probabilities.astype(np.float64) / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    called, one_hot = probabilities.argmax(axis=1), np.eye(CLASSES)[labels]
    weights = np.random.default_rng(20).integers(0, 4, (10, 120))
    found = metrics.measure(probabilities, labels, weights)
    for draw, weight in enumerate(weights):
        expected = {
            "accuracy": accuracy_score(labels, called, sample_weight=weight),
            "balanced_accuracy": balanced_accuracy_score(labels, called, sample_weight=weight),
            "auroc_macro": roc_auc_score(one_hot, probabilities, sample_weight=weight),
            "average_precision_macro": average_precision_score(one_hot, probabilities, sample_weight=weight),
            "f1_macro": f1_score(labels, called, average="macro", sample_weight=weight),
            "nll": log_loss(labels, probabilities, sample_weight=weight),
            "brier": brier_score_loss(labels, probabilities, sample_weight=weight, scale_by_half=False),
        }
        assert {name: found.overall[name][draw] for name in expected} == pytest.approx(expected)
        precision, recall, f1, support = precision_recall_fscore_support(labels, called, sample_weight=weight)
        expected = {"precision": precision, "recall": recall, "f1": f1, "support": support}
        for name, values in expected.items():
            np.testing.assert_allclose(found.by_class[name][draw], values, err_msg=name)


@pytest.mark.parametrize("seed", [3, 4])
def test_an_image_of_weight_3_counts_like_three_copies_in_every_figure(seed: int) -> None:
    probabilities, labels = cases(images=50, seed=seed)
    weights = np.random.default_rng(seed).integers(0, 4, (8, 50))
    found = metrics.measure(probabilities, labels, weights)
    for draw, weight in enumerate(weights):
        copies = np.repeat(np.arange(50), weight)
        np.random.default_rng(draw).shuffle(copies)
        copied = plain(probabilities[copies], labels[copies])
        for name, values in copied.overall.items():
            assert found.overall[name][draw] == pytest.approx(values[0]), name
        for name, values in copied.by_class.items():
            np.testing.assert_allclose(found.by_class[name][draw], values[0], err_msg=name)


def test_confusion_has_a_row_for_each_true_class() -> None:
    probabilities, labels = cases(seed=3)
    expected = multiclass_confusion_matrix(torch.from_numpy(probabilities), torch.from_numpy(labels), CLASSES).numpy()
    np.testing.assert_array_equal(metrics.confusion(probabilities, labels), expected)


def test_what_is_called_another_class_stands_in_its_column() -> None:
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8], [0.7, 0.3]])
    assert metrics.confusion(probabilities, np.array([0, 1, 0])).tolist() == [[1, 1], [0, 1]]


def degenerate(kind: str) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = cases(seed=7)
    if kind == "a class is absent":
        chosen = labels != 2
        return probabilities[chosen], labels[chosen]
    if kind == "all wrong":
        return np.roll(np.eye(CLASSES)[labels] * 0.6 + 0.1, 1, axis=1).astype(np.float32), labels
    if kind == "one answer for all":
        return np.tile(np.float32([0.1, 0.4, 0.3, 0.2]), (len(labels), 1)), labels
    if kind == "a class is never called":
        return (probabilities * np.float32([1, 1, 1, 0.01])) / (probabilities * [1, 1, 1, 0.01]).sum(1)[:, None], labels
    return probabilities.round(1) / probabilities.round(1).sum(axis=1, keepdims=True), labels  # a few values only


@pytest.mark.parametrize(
    "kind", ["a class is absent", "all wrong", "one answer for all", "a class is never called", "ties"]
)
def test_degenerate_figures_agree_with_scikit_learn_over_the_classes_that_are_there(kind: str) -> None:
    probabilities, labels = degenerate(kind)
    said, present, every = probabilities.argmax(axis=1), np.unique(labels), np.arange(CLASSES)
    found, overall = plain(probabilities, labels).by_class, metrics.overall(probabilities, labels)
    precision, recall, *_ = precision_recall_fscore_support(labels, said, labels=every, zero_division=np.nan)
    f1 = f1_score(labels, said, labels=every, average=None, zero_division=0)
    np.testing.assert_array_equal(
        metrics.confusion(probabilities, labels), confusion_matrix(labels, said, labels=every)
    )
    for index in present:
        truth, scores = labels == index, probabilities[:, index]
        false_alarms, found_share, _ = roc_curve(truth, scores, drop_intermediate=False)
        for name, expected in (
            ("precision", precision[index]),
            ("recall", recall[index]),
            ("specificity", recall_score(~truth, said != index)),
            ("f1", f1[index]),
            ("sensitivity_at_specificity", found_share[1 - false_alarms >= 0.9].max()),
            ("specificity_at_sensitivity", (1 - false_alarms)[found_share >= 0.9].max()),
            ("auroc", roc_auc_score(truth, scores)),
            ("average_precision", average_precision_score(truth, scores)),
        ):
            np.testing.assert_allclose(found[name][0, index], expected, atol=1e-6, err_msg=f"{name} of {index}")
    assert overall["accuracy"] == pytest.approx(accuracy_score(labels, said))
    assert overall["balanced_accuracy"] == pytest.approx(np.mean(recall[present]))
    assert overall["f1_macro"] == pytest.approx(np.mean(f1[present]))
    assert overall["average_precision_macro"] == pytest.approx(
        np.mean([average_precision_score(labels == index, probabilities[:, index]) for index in present]), abs=1e-6
    )
    assert overall["auroc_macro"] == pytest.approx(
        np.mean([roc_auc_score(labels == index, probabilities[:, index]) for index in present]), abs=1e-6
    )
    sums = probabilities / probabilities.sum(axis=1, keepdims=True)
    assert overall["nll"] == pytest.approx(log_loss(labels, sums, labels=every), abs=1e-5)
    squares = ((probabilities - np.eye(CLASSES)[labels]) ** 2).sum(axis=1)
    assert overall["brier"] == pytest.approx(squares.mean(), abs=1e-6)


def test_a_class_without_images_has_no_recall_and_is_left_out_of_means() -> None:
    probabilities, labels = cases(seed=4)
    probabilities, labels = probabilities[labels != 2], labels[labels != 2]
    found = plain(probabilities, labels)
    absent = {name: values[0, 2] for name, values in found.by_class.items()}
    assert absent["support"] == 0
    assert absent["predicted"] > 0
    assert absent["precision"] == 0  # every time it was named, it was wrong
    assert 0 < absent["specificity"] < 1
    unknown = set(metrics.BY_CLASS) - {"support", "predicted", "precision", "specificity"}
    assert all(np.isnan(absent[name]) for name in unknown)
    for mean, name in (
        ("balanced_accuracy", "recall"),
        ("f1_macro", "f1"),
        ("auroc_macro", "auroc"),
        ("average_precision_macro", "average_precision"),
    ):
        assert found.overall[mean][0] == pytest.approx(np.mean(found.by_class[name][0, [0, 1, 3]]))


def test_a_class_that_is_never_called_has_no_precision() -> None:
    found = plain(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1])).by_class
    assert np.isnan(found["precision"][0, 1])
    assert (found["recall"][0, 1], found["f1"][0, 1], found["specificity"][0, 1]) == (0, 0, 1)


def test_one_class_alone_has_an_accuracy_but_no_auroc() -> None:
    found = metrics.overall(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]))
    assert (found["accuracy"], found["balanced_accuracy"]) == (0.5, 0.5)
    assert np.isnan(found["auroc_macro"])
    assert np.isnan(found["average_precision_macro"])


def test_all_wrong_is_0_where_more_is_better_and_the_worst_brier_score() -> None:
    labels = np.array([0, 1, 2, 0, 1, 2])
    found = metrics.overall(np.eye(3)[(labels + 1) % 3], labels)
    for name in ("accuracy", "balanced_accuracy", "f1_macro"):
        assert found[name] == 0
    assert found["brier"] == 2
    assert found["ece"] == 1
    assert found["nll"] == pytest.approx(-np.log(2**-23))


def test_the_same_answer_for_every_image_ranks_nothing() -> None:
    found = metrics.overall(np.full((6, 3), 1 / 3), np.array([0, 1, 2, 0, 1, 2]))
    assert found["auroc_macro"] == 0.5
    assert found["average_precision_macro"] == pytest.approx(1 / 3)
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["ece"] == pytest.approx(0, abs=1e-12)


def test_one_image_is_judged_by_what_it_can_tell() -> None:
    found = metrics.overall(np.array([[0.7, 0.2, 0.1]]), np.array([0]))
    assert {name for name, value in found.items() if np.isnan(value)} == {"auroc_macro", "average_precision_macro"}
    assert (found["accuracy"], found["f1_macro"]) == (1, 1)
    assert found["ece"] == pytest.approx(0.3)
    assert found["nll"] == pytest.approx(-np.log(0.7))
    assert found["brier"] == pytest.approx(0.09 + 0.04 + 0.01)


def test_a_part_of_the_figures_alone_is_the_same() -> None:
    probabilities, labels = cases(seed=5)
    weights = np.random.default_rng(5).integers(0, 3, (5, 300))
    found = metrics.measure(probabilities, labels, weights)
    calibrated, gaps = metrics.measure_calibration(probabilities, labels, weights)
    for name, values in calibrated.items():
        np.testing.assert_allclose(values, found.overall[name])
    np.testing.assert_allclose(np.abs(gaps).mean(axis=1), found.overall["ece"])
    np.testing.assert_allclose(metrics.macro_auroc(probabilities, labels, weights), found.overall["auroc_macro"])
    assert metrics.overall(probabilities, labels)["ece"] == pytest.approx(ece(probabilities, labels))
