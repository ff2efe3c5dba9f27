"""The evaluate step tells the run that trained the model what it found, and does not fail where MLflow is away."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from secondread.atomic import read_json
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.evaluate import evaluate
from secondread.pipeline.success import write_success
from secondread.tracking import sender
from secondread.tracking.origin import Origin
from secondread.tracking.runs import TrackingConfig, open_client, open_run
from secondread.tracking.training_run import complete

SETTINGS = {"resamples": 100, "shown_images": 0}
NOWHERE = "http://127.0.0.1:9"  # the port `discard`, which nothing listens on


@pytest.fixture
def model(tiny_model: ModelFolder, mlflow_uri: str, tmp_path: Path) -> Path:
    """What step `train` might have written, tracked."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model.root, folder)
    with open_run(TrackingConfig(mlflow_uri, "tiny", {})) as run:
        Origin(run.run_id).write(folder)
    write_success(folder, step="train", inputs={}, facts={})
    return folder


def judge(model: Path, made: Any, tmp_path: Path) -> dict[str, Any]:
    """The facts of the step."""
    output = tmp_path / "step" / "evaluation"
    gate = {"accuracy_above": 0.0}
    evaluate(str(model), made.dataset, str(output), split="val", model_step="train", gate=gate, settings=SETTINGS)
    facts: dict[str, Any] = read_json(output / "_SUCCESS.json")["facts"]
    return facts


def test_figures_and_pages_are_with_the_run_and_the_facts_have_the_gates_lines(
    model: Path, made: Any, mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    facts = judge(model, made, tmp_path)
    assert facts["in_mlflow"]
    assert {line["name"] for line in facts["lines"]} == {"accuracy_above", "images_at_least"}
    assert [line["reason"] for line in facts["lines"]] == facts["reasons"]
    client, run_id = open_client(mlflow_uri), Origin.read(model).run_id
    told = client.get_run(run_id).data.metrics
    for end in ("value", "low", "high"):
        name = "served_val_accuracy" + ("" if end == "value" else f"_{end}")
        assert told[name] == pytest.approx(facts["metrics"]["accuracy"][end])
    kept = {Path(item.path).name for item in client.list_artifacts(run_id, "evaluation/val")}
    assert kept == {"evaluation.json", "report.html", "summary.md", "MODEL_CARD.md"}


def test_without_mlflow_the_step_succeeds_and_what_it_found_is_kept(
    model: Path, made: Any, mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_LAST_PAUSES", (0.0,))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    facts = judge(model, made, tmp_path)
    assert facts["passed"]
    assert not facts["in_mlflow"]
    assert complete(tmp_path / "step" / "evaluation.tracking", mlflow_uri).ended
    told = open_client(mlflow_uri).get_run(Origin.read(model).run_id).data.metrics
    assert told["served_val_accuracy"] == pytest.approx(facts["metrics"]["accuracy"]["value"])


def test_of_a_model_that_was_not_tracked_nothing_is_told(
    model: Path, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model / "tracking.json").unlink()
    write_success(model, step="train", inputs={}, facts={})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    assert not judge(model, made, tmp_path)["in_mlflow"]
    assert not (tmp_path / "step" / "evaluation.tracking").exists()
