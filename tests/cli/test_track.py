"""`secondread train track`: what MLflow lacks of a run."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.errors import InputError
from secondread.tracking.runs import TrackingConfig, open_client
from secondread.tracking.training_run import open_training_run


def test_a_run_is_completed_and_its_folder_removed(
    mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    config = TrackingConfig(mlflow_uri, "cxr", {})
    killed = open_training_run(config, tmp_path / "record", left=tmp_path / "left")
    run = killed.__enter__()  # it never leaves the block
    words = ["train", "track", "--complete", str(tmp_path / "record")]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith(f"MLflow has everything of run {run.run_id} so far. The run did not end")

    run.log_metrics({"loss": 0.5}, step=1)
    run._record.end("FINISHED")
    told = CliRunner().invoke(app, [*words, "--json"])
    assert json.loads(told.stdout) == {"run": run.run_id, "ended": True}
    assert open_client(mlflow_uri).get_run(run.run_id).data.metrics == {"loss": 0.5}
    again = CliRunner().invoke(app, words)
    assert isinstance(again.exception, InputError)
    assert str(again.exception).startswith(f"{tmp_path}/record holds no record of a run")


def test_help_shows_an_example() -> None:
    assert "secondread train track --complete" in CliRunner().invoke(app, ["train", "track", "--help"]).output
