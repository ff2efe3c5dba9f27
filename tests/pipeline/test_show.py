"""What the evaluate step shows in Kubeflow's pages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from kfp import dsl

from secondread.config.evaluate import EvaluateConfig
from secondread.data.pixels.preprocess import Preprocessing
from secondread.evaluation.evaluate import evaluate
from secondread.evaluation.labelled_images import LabelledImages
from secondread.model.folder import ModelFolder
from secondread.pipeline.show import show_evaluation


@pytest.fixture
def data() -> LabelledImages:
    """Thirty images of noise, one of the model's three classes missing."""
    rng = np.random.default_rng(0)
    names = np.array([f"{index:064x}" for index in range(30)], dtype=object)
    return LabelledImages(
        images=rng.integers(0, 256, (30, 1, 32, 32)).astype(np.uint8),
        labels=np.arange(30) % 2,
        image_ids=names,
        groups=names,
        classes=("cxr-normal", "cxr-covid"),
        preprocessing=Preprocessing(32),
        name="0123456789ab",
        split="test",
        synthetic=False,
    )


def test_an_evaluation_is_shown_as_metrics_with_bounds_curves_report_summary_and_card(
    tiny_model: ModelFolder, data: LabelledImages, tmp_path: Path
) -> None:
    folder = tmp_path / "evaluation"
    config = EvaluateConfig(resamples=100, shown_images=0)
    result = evaluate(tiny_model, data, output=folder, config=config, evidence=False)
    metrics = dsl.Metrics("metrics", str(tmp_path / "metrics.json"))
    curves = dsl.ClassificationMetrics("curves", str(tmp_path / "curves.json"))
    pages = {name: str(tmp_path / name) for name in ("report", "summary", "card")}
    show_evaluation(result, str(folder), metrics=metrics, curves=curves, **pages)
    accuracy = result.metrics["accuracy"]
    assert metrics.metadata["accuracy"] == accuracy.value
    assert (metrics.metadata["accuracy_low"], metrics.metadata["accuracy_high"]) == (accuracy.low, accuracy.high)
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics.metadata
    assert len(curves.metadata["confusionMatrix"]["rows"]) == 3
    for name, file in (("report", "report.html"), ("summary", "summary.md"), ("card", "MODEL_CARD.md")):
        assert Path(pages[name]).read_bytes() == (folder / file).read_bytes()
    assert all(line.reason in Path(pages["summary"]).read_text() for line in result.gate.lines)
