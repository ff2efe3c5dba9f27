"""`secondread quantize` by hand is a run in MLflow, as in a pipeline."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.ingest import ingest
from secondread.data.versions.version import write_dataset_version
from secondread.model.folder import ModelFolder
from secondread.tracking.origin import Origin
from secondread.tracking.runs import open_client

QUICK = [
    f"--set=quantize.{setting}"
    for setting in ("timed_runs=2", "calibration_images=8", "threads=1", "batch_sizes=[1, 4]", "latency_gain=0.99")
]


def test_it_is_a_run_below_that_of_the_training_with_the_choice_and_the_page(
    tiny_model: ModelFolder, tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    source = "phantom://cxr?images=60&size=32&classes=cxr-normal,cxr-covid,cxr-opacity"
    ingest(IngestConfig(source=source), tmp_path / "images")
    version = write_dataset_version(tmp_path / "images", tmp_path / "dataset", PreprocessConfig(image_size=32))
    model, output = tmp_path / "model", tmp_path / "quantized"
    shutil.copytree(tiny_model.root, model)
    replace(tiny_model.config, dataset_version=version.content_hash, preprocessing=version.preprocessing).write(model)
    Origin("trained").write(model)
    words = ["quantize", "--model", str(model), "--data", str(version.root), "--output", str(output), *QUICK, "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    client = open_client(mlflow_uri)
    run = client.get_run(document["mlflow_run"])
    assert (run.data.tags["kind"], run.data.tags["training_run"]) == ("quantization", "trained")
    assert (run.data.params["chosen"], run.data.params["quantize.timed_runs"]) == (document["chosen"], "2")
    assert run.data.params["dataset_version"] == version.content_hash
    fp32 = document["candidates"][0]
    assert run.data.metrics["latency_p99_ms/fp32/batch_4"] == fp32["latency"]["4"]["p99_ms"]
    assert {item.path for item in client.list_artifacts(run.info.run_id)} == {"quantize.html", "quantize.json"}
