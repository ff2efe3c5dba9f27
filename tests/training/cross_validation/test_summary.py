"""Means with intervals over folds, and figures of all held-out predictions, against independent computations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score

from secondread.training.cross_validation.summary import over_folds, pooled, quantized


def test_a_figure_that_one_fold_lacks_is_no_mean() -> None:
    folds = [{"metrics": {"accuracy": 0.5, "auroc_macro": None}}, {"metrics": {"accuracy": 0.7, "auroc_macro": 0.9}}]
    assert list(over_folds(folds)) == ["accuracy"]


def test_all_predictions_together() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    probabilities = random.dirichlet(np.ones(3), 300)
    probabilities[np.arange(300), labels] += 0.5
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
    names = np.array(["a", "b", "c"])
    frame = pd.DataFrame(
        {"label": names[labels], "group_id": random.integers(0, 60, 300), "probabilities": list(probabilities)}
    )
    found = pooled(frame, ["a", "b", "c"], seed=0)
    called = probabilities.argmax(axis=1)
    accuracy = found["metrics"]["accuracy"]
    assert accuracy["value"] == pytest.approx(accuracy_score(labels, called))
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    expected = roc_auc_score(labels, probabilities, multi_class="ovr")
    assert found["metrics"]["auroc_macro"]["value"] == pytest.approx(expected)
    assert found["confusion"] == confusion_matrix(labels, called).tolist()
    assert (found["images"], found["groups"]) == (300, frame["group_id"].nunique())


def test_what_quantization_costs_is_the_difference_on_the_same_images_with_its_interval() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 400)
    right = np.stack([1 - labels, labels], axis=1) * 0.8 + 0.1
    turned = right.copy()
    turned[:8] = turned[:8, ::-1]  # eight images, each of another patient, get the other answer
    names = np.array(["a", "b"])
    frame = pd.DataFrame(
        {
            "label": names[labels],
            "group_id": np.arange(400),
            "probabilities": list(right.astype(np.float32)),
            "served": list(turned.astype(np.float32)),
        }
    )
    found = quantized(frame, ["a", "b"], seed=0)
    accuracy = found["differences"]["accuracy"]
    assert accuracy["value"] == pytest.approx(-0.02)
    # binomial: one deviation is 0.7 points
    assert accuracy["low"] == pytest.approx(-0.034, abs=0.004)
    assert accuracy["high"] == pytest.approx(-0.008, abs=0.004)
    assert found["agreement"] == pytest.approx(0.98)
    # calibration error: 0.9 of confidence, and 1 or 0.98 of accuracy
    assert found["differences"]["ece"]["value"] == pytest.approx(0.08 - 0.10, abs=0.005)
