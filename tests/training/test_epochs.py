"""What is known of each epoch, against scikit-learn, and what a tracker is told of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_score, recall_score

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.model.vit import ViT
from secondread.training.batches import Share
from secondread.training.epochs import EpochFigures
from secondread.training.fit import architecture_for, fit


def figures(confusion: list[list[int]]) -> EpochFigures:
    return EpochFigures(1.0, 1.0, 0.5, 1e-3, 100.0, confusion, peak_memory_megabytes=500.0)


def test_precision_and_recall_of_each_class_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels, answers = random.integers(0, 3, 200), random.integers(0, 3, 200)
    metrics = figures(confusion_matrix(labels, answers).tolist()).metrics(["a", "b", "c"])
    for kind, score in (("precision", precision_score), ("recall", recall_score)):
        expected = score(labels, answers, average=None)
        assert [metrics[f"val_{kind}/{name}"] for name in "abc"] == pytest.approx(expected)


def test_what_nobody_can_know_is_left_out() -> None:
    metrics = figures([[3, 0, 1], [0, 0, 0], [2, 0, 4]]).metrics(["a", "b", "c"])  # no b among images or answers
    assert {name for name in metrics if "/" in name} == {
        f"val_{kind}/{x}" for kind in ("precision", "recall") for x in "ac"
    }
    assert "peak_gpu_memory_megabytes" not in metrics


def test_names_are_such_as_mlflow_takes() -> None:
    from mlflow.utils.validation import _validate_metric_name

    metrics = figures([[1, 0], [0, 1]]).metrics(["no finding (normal), äöü", "oct: drusen/cnv"])
    for name in metrics:
        _validate_metric_name(name)
    assert {"val_recall/no finding _normal__ äöü", "val_recall/oct: drusen_cnv"} <= set(metrics)


def test_figures_of_an_epoch_are_those_of_the_weights_that_it_left(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig]
) -> None:
    config = quick(epochs=1, precision="32-true")
    fitted = fit(dataset, config, share=Share(), tracker=None)
    (epoch,) = fitted.epochs
    model = ViT(architecture_for(dataset, config))
    model.load_state_dict(fitted.state)
    val = dataset.split("val")
    with torch.inference_mode():
        logits = model.eval()(torch.from_numpy(np.array(val.images)).float() / 255).logits
    answers = logits.argmax(dim=1).numpy()
    assert epoch.val_confusion == confusion_matrix(val.labels, answers, labels=range(3)).tolist()
    assert epoch.val_accuracy == accuracy_score(val.labels, answers)
    assert epoch.val_loss == pytest.approx(log_loss(val.labels, torch.softmax(logits.double(), 1).numpy()), rel=1e-5)
    assert 100 < epoch.peak_memory_megabytes < 30_000  # torch alone takes more than the first
    assert epoch.peak_gpu_memory_megabytes == 0
