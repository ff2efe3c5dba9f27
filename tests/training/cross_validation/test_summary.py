"""Means with intervals over folds, and figures of all held-out predictions, against independent computations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score

from secondread.training.cross_validation.summary import mean_with_interval, over_folds, pooled


def test_the_interval_is_that_of_a_t_test() -> None:
    values = [0.80, 0.84, 0.79, 0.88, 0.83]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = mean_with_interval(values)
    assert found["value"] == pytest.approx(np.mean(values))
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
    assert found["sd"] == pytest.approx(pd.Series(values).std())


def test_a_share_stays_in_its_bounds_and_one_value_has_no_interval() -> None:
    assert mean_with_interval([0.90, 1.0], share=True)["high"] == 1.0
    assert mean_with_interval([0.9]) == {"value": 0.9, "sd": None, "low": None, "high": None}


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
