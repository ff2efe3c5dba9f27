"""An evaluation is added to the run that trained the model, and is not lost while MLflow is away."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from secondread.tracking import sender, training_run
from secondread.tracking.evaluated import FILES, add_evaluation, metrics_of
from secondread.tracking.runs import TrackingConfig, open_client, open_run
from secondread.tracking.training_run import complete

FIGURES = {
    "accuracy": {"value": 0.87, "low": 0.81, "high": 0.92},
    "auroc_macro": {"value": 0.9, "low": None, "high": None},
    "ece": {"value": None, "low": None, "high": None},
}


@pytest.fixture(scope="module")
def uri(empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    shutil.copyfile(empty_mlflow, path)
    return f"sqlite:///{path}"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "_LAST_PAUSES", (0.0,))


@pytest.fixture
def run_id(uri: str) -> str:
    """A training that has ended."""
    with open_run(TrackingConfig(uri, "cxr", {})) as run:
        run.log_metrics({"val_accuracy": 0.5}, step=1)
    return run.run_id


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    folder = tmp_path / "evaluation"
    folder.mkdir()
    for name in (*FILES, "predictions.parquet"):
        (folder / name).write_text(f"this is {name}")
    return folder


def add(uri: str, run_id: str, evaluation: Path, *, split: str = "test") -> bool:
    left = evaluation.with_name("evaluation.tracking")
    return add_evaluation(uri, run_id, evaluation, figures=FIGURES, split=split, left=left)


def test_figures_with_bounds_and_the_pages_are_with_the_run(
    uri: str, run_id: str, evaluation: Path, tmp_path: Path
) -> None:
    before = open_client(uri).get_run(run_id).info
    assert add(uri, run_id, evaluation)
    client = open_client(uri)
    found = client.get_run(run_id)
    told = {"accuracy": 0.87, "accuracy_low": 0.81, "accuracy_high": 0.92, "auroc_macro": 0.9}
    assert found.data.metrics == {"val_accuracy": 0.5, **told}
    assert found.info == before, "the run ended when it ended"
    kept = Path(client.download_artifacts(run_id, "evaluation/test", str(tmp_path)))
    assert {path.name: path.read_text() for path in kept.iterdir()} == {name: f"this is {name}" for name in FILES}
    assert {"report.html", "summary.md", "MODEL_CARD.md", "evaluation.json"} == set(FILES)
    assert not (tmp_path / "evaluation.tracking").exists()


def test_a_name_that_mlflow_does_not_take_is_made_one_that_it_does() -> None:
    figures = {"recall/cxr-état (früh)": {"value": 0.5, "low": None, "high": None}}
    assert list(metrics_of(figures, "test")) == ["recall/cxr-état _früh_"]


def test_figures_of_val_do_not_stand_for_those_of_test_or_of_an_epoch() -> None:
    assert set(metrics_of(FIGURES, "val")) == {
        "served_val_accuracy",
        "served_val_accuracy_low",
        "served_val_accuracy_high",
        "served_val_auroc_macro",
    }
    assert "final_eval_accuracy" in metrics_of(FIGURES, "final_eval")


def test_while_mlflow_is_away_it_is_kept_and_completed_later(
    uri: str, run_id: str, evaluation: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(*_: object, **__: object) -> None:
        raise MlflowException("Connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", down)
        assert not add(uri, run_id, evaluation)
    left = evaluation.with_name("evaluation.tracking")
    assert f"complete it with `secondread train track --complete {left}`" in caplog.text
    assert "accuracy" not in open_client(uri).get_run(run_id).data.metrics
    before = open_client(uri).get_run(run_id).info
    assert complete(left, uri) == training_run.Sent(run_id, ended=True)
    found = open_client(uri).get_run(run_id)
    assert found.data.metrics["accuracy_low"] == 0.81
    assert found.info == before
    assert not left.exists()


def test_an_address_that_nobody_answers_at_fails_nothing(
    evaluation: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert not add("http://user:hunter2@127.0.0.1:9", "0" * 32, evaluation)
    assert evaluation.with_name("evaluation.tracking").is_dir()
    assert "hunter2" not in caplog.text
