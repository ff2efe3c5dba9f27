"""Means with intervals over folds, and figures of all held-out predictions, against independent computations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score

from secondread.training.cross_validation.summary import over_folds, pooled


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
