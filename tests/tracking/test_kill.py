"""Training goes on when MLflow, or the database behind it, is killed, and nothing of the record is lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.data.ingest import ingest
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.errors import DependencyError
from secondread.tracking import sender
from secondread.tracking.runs import TrackingConfig
from secondread.tracking.training_run import TrainingRun, complete, open_training_run
from secondread.training.batches import Share
from secondread.training.fit import Fitted, fit
from secondread.training.train import train

EPOCHS = 6
RECIPE = TrainConfig(
    preset="vit-test-32", epochs=EPOCHS, batch_size=8, threads=1, name="films", audit_images=0, explain=False
)

Acts = Mapping[int, Callable[[], None]]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(sender, "_LONGEST_PAUSE", 1.0)
    monkeypatch.setattr(sender, "_LAST_PAUSES", (0.0, 0.5))


@pytest.fixture(scope="module")
def version(film: Callable[[int], bytes], tmp_path_factory: pytest.TempPathFactory) -> DatasetVersion:
    folder = tmp_path_factory.mktemp("version")
    for index in range(60):
        path = folder / "films" / ("cxr-normal" if index < 30 else "cxr-covid") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(film(index))
    ingest(IngestConfig(source=str(folder / "films")), folder / "ingested", patient_key=folder / "key")
    return write_dataset_version(folder / "ingested", folder / "version", PreprocessConfig(image_size=32))


@pytest.fixture(scope="module")
def uninterrupted(version: DatasetVersion) -> Fitted:
    """The same training with no tracker at all."""
    return fit(version, RECIPE, share=Share(), tracker=None)


@pytest.fixture
def before_epoch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Acts], None]:
    """Do something just before the figures of an epoch are written down: `before_epoch({2: server.kill})`."""

    def arrange(acts: Acts) -> None:
        real = TrainingRun.log_metrics

        def log_metrics(run: TrainingRun, metrics: Mapping[str, float], step: int) -> None:
            if "train_loss" in metrics and step in acts:
                acts[step]()
            real(run, metrics, step)

        monkeypatch.setattr(TrainingRun, "log_metrics", log_metrics)

    return arrange


def assert_whole(url: str, run_id: str, expected: Fitted) -> None:
    """Every figure of every epoch is there once, as it would be without a kill."""
    client = MlflowClient(url)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    for name in ("train_loss", "val_loss", "val_accuracy", "learning_rate"):
        points = client.get_metric_history(run_id, name)
        assert [point.step for point in points] == list(range(1, EPOCHS + 1)), name
        assert [point.value for point in points] == [getattr(epoch, name) for epoch in expected.epochs], name
        assert [point.timestamp for point in points] == sorted(point.timestamp for point in points)
    assert [point.step for point in client.get_metric_history(run_id, "images_per_second")] == list(
        range(1, EPOCHS + 1)
    )
    load = client.get_metric_history(run_id, "system/cpu_utilization_percentage")
    assert [point.step for point in load] == list(range(len(load)))
    assert load


def test_the_mlflow_server_is_killed_and_started_again(
    mlflow_server: Any,
    version: DatasetVersion,
    uninterrupted: Fitted,
    before_epoch: Callable[[Acts], None],
    tmp_path: Path,
) -> None:
    before_epoch({2: mlflow_server.kill, EPOCHS: mlflow_server.start})
    tracking = TrackingConfig(mlflow_server.url, "films", {"dataset_version": version.content_hash})
    result = train(version, tmp_path / "model", RECIPE, tracking=tracking)
    assert_whole(mlflow_server.url, result.run_id, uninterrupted)
    client = MlflowClient(mlflow_server.url)
    found = client.get_run(result.run_id).data
    assert found.metrics["served_val_loss"] == result.metrics["loss"]
    assert found.params["preset"] == "vit-test-32"
    kept = {item.path for item in client.list_artifacts(result.run_id)}
    assert {"gpu-info.txt", "train-config.json", "model"} <= kept
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_training_does_not_wait_for_a_server_that_hangs(
    mlflow_server: Any,
    version: DatasetVersion,
    uninterrupted: Fitted,
    before_epoch: Callable[[Acts], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes connections and does not answer. One request would wait for longer than the training may take."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "90")
    at: list[float] = []

    def hang() -> None:
        mlflow_server.send(signal.SIGSTOP)
        at.append(time.monotonic())

    def recover() -> None:
        at.append(time.monotonic())
        mlflow_server.send(signal.SIGCONT)

    before_epoch({2: hang, EPOCHS: recover})
    tracking = TrackingConfig(mlflow_server.url, "films", {})
    with open_training_run(tracking, tmp_path / "record", left=tmp_path / "model.tracking") as run:
        fit(version, RECIPE, share=Share(), tracker=run)
    assert at[1] - at[0] < 60
    assert_whole(mlflow_server.url, run.run_id, uninterrupted)


def test_a_store_of_files_that_is_down_at_the_start_is_said_before_anything_is_trained(
    mlflow_server: Any, swift: Any, tmp_path: Path
) -> None:
    swift.kill()
    tracking = TrackingConfig(mlflow_server.url, "films", {})
    with (
        pytest.raises(DependencyError, match=r"MLflow at http://127\.0\.0\.1:\d+ does not do as it is asked"),
        open_training_run(tracking, tmp_path / "record", left=tmp_path / "model.tracking") as run,
    ):
        run.log_file("train-config.json", b"{}")
        run.confirm()


def test_postgresql_is_killed_for_the_rest_of_the_training(
    mlflow_server: Any,
    postgres: Any,
    version: DatasetVersion,
    uninterrupted: Fitted,
    before_epoch: Callable[[Acts], None],
    tmp_path: Path,
) -> None:
    before_epoch({2: postgres.kill})
    tracking = TrackingConfig(mlflow_server.url, "films", {"dataset_version": version.content_hash})
    result = train(version, tmp_path / "model", RECIPE, tracking=tracking)
    (left,) = tmp_path.glob("model.tracking-*")
    postgres.start()
    assert complete(left, mlflow_server.url).ended
    assert_whole(mlflow_server.url, result.run_id, uninterrupted)
    found = MlflowClient(mlflow_server.url).get_run(result.run_id).data
    assert found.metrics["served_val_loss"] == result.metrics["loss"]


def test_postgresql_is_killed_and_started_again(
    mlflow_server: Any,
    postgres: Any,
    version: DatasetVersion,
    uninterrupted: Fitted,
    before_epoch: Callable[[Acts], None],
    tmp_path: Path,
) -> None:
    before_epoch({2: postgres.kill, 4: postgres.start})
    tracking = TrackingConfig(mlflow_server.url, "films", {"dataset_version": version.content_hash})
    result = train(version, tmp_path / "model", RECIPE, tracking=tracking)
    assert_whole(mlflow_server.url, result.run_id, uninterrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
