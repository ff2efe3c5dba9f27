"""The evaluate step writes what it found down as a run in MLflow, and does not fail where that is away."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from secondread.atomic import read_json
from secondread.config.environment import Environment
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.evaluate import evaluate, tell_mlflow
from secondread.pipeline.success import write_success
from secondread.tracking import sender
from secondread.tracking.asked import Asked
from secondread.tracking.origin import Origin
from secondread.tracking.runs import TrackingConfig, open_client, open_run

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
    assert {line["name"] for line in facts["lines"]} == {"accuracy_above", "images_at_least"}
    assert [line["reason"] for line in facts["lines"]] == facts["reasons"]
    run = open_client(mlflow_uri).get_run(facts["mlflow_run"])
    for end in ("value", "low", "high"):
        name = "accuracy" + ("" if end == "value" else f"_{end}")
        assert run.data.metrics[name] == pytest.approx(facts["metrics"]["accuracy"][end])
    assert run.data.tags["training_run"] == Origin.read(model).run_id
    assert (run.data.params["split"], run.data.params["gate.accuracy_above"]) == ("val", "0.0")


def test_without_mlflow_the_step_succeeds_and_what_it_found_is_kept(
    model: Path, made: Any, mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_LAST_PAUSES", (0.0,))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    facts = judge(model, made, tmp_path)
    assert facts["passed"]
    assert facts["mlflow_run"] == ""
    (left,) = (tmp_path / "step").glob("evaluation.tracking-*")
    here = Environment.read({"MLFLOW_TRACKING_URI": mlflow_uri})
    made_up = tell_mlflow(model, tmp_path / "step" / "evaluation", Asked(**facts["asked"]), here)  # as `register` does
    assert not left.exists(), "MLflow has all of it"
    told = open_client(mlflow_uri).get_run(made_up).data.metrics
    assert told["accuracy"] == pytest.approx(facts["metrics"]["accuracy"]["value"])
