"""A run's record is whole although the process, or MLflow, goes away; read back through MLflow's own client."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from boto3.exceptions import S3UploadFailedError
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from secondread.errors import DependencyError, InputError, StoppedError
from secondread.tracking import sender, training_run
from secondread.tracking.record import RunRecord
from secondread.tracking.runs import TrackingConfig, open_client
from secondread.tracking.training_run import TrainingRun, complete, join_training_run, open_training_run


@pytest.fixture(scope="module")
def uri(empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    shutil.copyfile(empty_mlflow, path)
    return f"sqlite:///{path}"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "_LAST_PAUSES", (0.0,))


@contextmanager
def opened(uri: str, folder: Path) -> Iterator[TrainingRun]:
    config = TrackingConfig(uri, "cxr", {"dataset_version": "abc"})
    with open_training_run(config, folder / "record", left=folder / "model.tracking") as run:
        yield run


def steps(uri: str, run_id: str, name: str = "loss") -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in open_client(uri).get_metric_history(run_id, name)]


class Down(MlflowClient):
    """Takes nothing, as a server does that is down."""

    def log_batch(self, *_: object, **__: object) -> None:
        raise MlflowException("Connection refused")

    log_artifacts = set_terminated = log_batch  # type: ignore[assignment]


@pytest.fixture
def down(uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow is down from the moment the run is open."""
    real = sender.deliver
    monkeypatch.setattr(sender, "deliver", lambda _, record: real(Down(uri), record))
    yield
    monkeypatch.undo()


def test_everything_is_there_when_the_run_has_ended(uri: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with opened(uri, tmp_path) as run:
        run.log_params({f"setting{number}": number for number in range(150)})  # more than MLflow takes at once
        run.log_metrics({"loss": 0.5, "val_recall/cxr-covid": 1.0}, step=1)
        run.log_metrics({"loss": 0.1 + 0.2}, step=2)
        run.log_file("gpu-info.txt", b"none")
        run.log_file("checkpoints/last.safetensors", b"weights")
        run.log_folder(tmp_path / "model")
        run.watch_system()
    client = open_client(uri)
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {f"setting{number}": str(number) for number in range(150)}
    assert found.data.tags["dataset_version"] == "abc"
    assert steps(uri, run.run_id) == [(1, 0.5), (2, 0.1 + 0.2)]
    assert found.data.metrics["val_recall/cxr-covid"] == 1.0
    assert 0 <= found.data.metrics["system/cpu_utilization_percentage"] <= 100
    assert found.data.metrics["system/system_memory_usage_megabytes"] > 0
    kept = Path(client.download_artifacts(run.run_id, "", str(tmp_path)))
    assert (kept / "gpu-info.txt").read_bytes() == b"none"
    assert (kept / "checkpoints" / "last.safetensors").read_bytes() == b"weights"
    assert (kept / "model" / "config.json").read_text() == "{}"
    assert not (tmp_path / "record").exists()
    assert not list(tmp_path.glob("model.tracking*"))


def test_a_killed_run_goes_on_as_the_same_run_and_no_step_is_there_twice(uri: str, tmp_path: Path) -> None:
    killed = opened(uri, tmp_path)
    run = killed.__enter__()  # it never leaves the block
    for step in (1, 2, 3):
        run.log_metrics({"loss": float(step), "images_per_second": 100.0}, step)
    run.confirm()
    assert open_client(uri).get_run(run.run_id).info.status == "RUNNING"
    with opened(uri, tmp_path) as again:
        for step in (3, 4):  # its last checkpoint was that of step 2
            again.log_metrics({"loss": float(step), "images_per_second": 50.0}, step)
    assert again.run_id == run.run_id
    assert steps(uri, run.run_id) == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]
    assert [value for _, value in steps(uri, run.run_id, "images_per_second")] == [100, 100, 100, 50]
    assert open_client(uri).get_run(run.run_id).info.status == "FINISHED"


def test_a_stopped_run_goes_on_and_a_deleted_one_begins_anew(uri: str, tmp_path: Path) -> None:
    with pytest.raises(StoppedError), opened(uri, tmp_path) as run:
        raise StoppedError
    assert open_client(uri).get_run(run.run_id).info.status == "KILLED"
    with pytest.raises(DependencyError), opened(uri, tmp_path) as again:
        raise DependencyError
    assert again.run_id == run.run_id
    assert open_client(uri).get_run(run.run_id).info.status == "FAILED"
    open_client(uri).delete_run(run.run_id)
    with opened(uri, tmp_path) as other:
        pass
    assert other.run_id != run.run_id


def test_the_process_that_trains_writes_and_the_one_that_started_it_ends_the_run(uri: str, tmp_path: Path) -> None:
    with opened(uri, tmp_path) as run:
        joined = join_training_run(tmp_path / "record")  # it needs to know no address
        joined.log_metrics({"loss": 1.0}, step=1)
        assert steps(uri, run.run_id) == []
        run.confirm()  # as the one that started it does by itself now and then
        assert steps(uri, run.run_id) == [(1, 1.0)]
        joined.log_metrics({"loss": 0.5}, step=2)
        run.log_metrics({"served_val_loss": 1.0}, step=1)
    assert steps(uri, run.run_id) == [(1, 1.0), (2, 0.5)]


def test_the_one_that_opened_the_run_sends_while_others_write(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, real = threading.Event(), sender.deliver

    def deliver(client: MlflowClient, record: RunRecord) -> bool:
        done = real(client, record)
        if steps(uri, record.run_id):
            arrived.set()
        return done

    monkeypatch.setattr(sender, "deliver", deliver)
    monkeypatch.setattr(sender, "_LOOK_SECONDS", 0.01)
    with opened(uri, tmp_path) as run:
        run.log_params({"seed": 0})
        join_training_run(tmp_path / "record").log_metrics({"loss": 1.0}, step=1)
        assert arrived.wait(30)
        assert open_client(uri).get_run(run.run_id).info.status == "RUNNING"
    assert steps(uri, run.run_id) == [(1, 1.0)]


def test_a_run_that_is_told_to_end_does_not_wait_for_a_server_that_hangs(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, entered = threading.Event(), threading.Event()

    def deliver(*_: object) -> bool:
        entered.set()
        return hangs.wait(60)

    monkeypatch.setattr(sender, "_HURRIED_SECONDS", 0.05)
    with pytest.raises(StoppedError), opened(uri, tmp_path) as run:
        monkeypatch.setattr(sender, "deliver", deliver)
        run.log_metrics({"loss": 1.0}, step=1)
        assert entered.wait(30)
        raise StoppedError
    assert not hangs.is_set()
    assert not RunRecord.open(tmp_path / "record").is_sent()  # it is there for the run that goes on
    hangs.set()


@pytest.mark.usefixtures("down")
def test_a_record_that_mlflow_lacks_is_left_and_completed_later(
    uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(uri, tmp_path) as run:
        for step in (1, 2, 3):
            run.log_metrics({"loss": float(step)}, step)
        run.log_file("gpu-info.txt", b"none")
    (left,) = tmp_path.glob("model.tracking-*")
    assert f"complete it with `secondread train track --complete {left}`" in caplog.text
    assert caplog.text.count("the work goes on") == 1
    assert steps(uri, run.run_id) == []

    shutil.copytree(left, tmp_path / "copy")
    assert complete(left, uri) == training_run.Sent(run.run_id, ended=True)
    assert not left.exists()
    found = open_client(uri).get_run(run.run_id)
    history = open_client(uri).get_metric_history(run.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert all(found.info.start_time <= point.timestamp <= found.info.end_time for point in history)
    assert [item.path for item in open_client(uri).list_artifacts(run.run_id)] == ["gpu-info.txt"]

    complete(tmp_path / "copy", uri)  # as by somebody who did not know that it had been done
    assert steps(uri, run.run_id) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert open_client(uri).get_run(run.run_id).info == found.info
    with pytest.raises(InputError, match=r"holds no record of a run \(no run\.json\)"):
        complete(left, uri)


def test_a_run_is_completed_in_the_mlflow_that_it_was_begun_in(uri: str, tmp_path: Path) -> None:
    RunRecord.create(tmp_path / "record", run_id="0" * 32, place="http://mlflow.example")
    with pytest.raises(
        InputError, match=r"has no run 0{32}, which was begun at http://mlflow.example\. Set MLFLOW_TRA"
    ):
        complete(tmp_path / "record", uri)


def test_of_a_run_that_did_not_end_the_record_stays(uri: str, tmp_path: Path) -> None:
    killed = opened(uri, tmp_path)
    run = killed.__enter__()  # it never leaves the block
    run.log_metrics({"loss": 1.0}, step=1)
    assert complete(tmp_path / "record", uri) == training_run.Sent(run.run_id, ended=False)
    assert steps(uri, run.run_id) == [(1, 1.0)]
    assert (tmp_path / "record").is_dir()  # it may go on


def test_what_mlflow_refuses_does_not_keep_the_rest_back(
    uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(uri, tmp_path) as run:
        run.log_params({"seed": 0})
        run.confirm()
        run.log_params({"seed": 1, "epochs": 2})  # MLflow never changes a setting
        run.log_metrics({"loss": 1.0, "no (name)\n": 2.0}, step=1)
    found = open_client(uri).get_run(run.run_id)
    assert (found.data.params, found.data.metrics) == ({"seed": "0", "epochs": "2"}, {"loss": 1.0})
    assert "MLflow refuses 'seed'" in caplog.text


@pytest.mark.parametrize("error", [OSError("no room"), S3UploadFailedError("no room"), MlflowException("no room")])
def test_a_store_of_files_that_fails_keeps_no_figure_back(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    with opened(uri, tmp_path) as run:
        monkeypatch.setattr(MlflowClient, "log_artifacts", full)
        run.log_file("gpu-info.txt", b"none")
        run.log_metrics({"loss": 1.0}, step=1)
        with pytest.raises(DependencyError, match=r"does not do as it is asked \(.*no room"):
            run.confirm()
        assert steps(uri, run.run_id) == [(1, 1.0)]
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://user:hunter2@127.0.0.1:9", r"MLflow at http://127\.0\.0\.1:9 does not answer \(Connection refused\)"),
        ("postgresql://user:hunter2@127.0.0.1:9/runs", r"postgresql\+psycopg://127\.0\.0\.1:9/runs does not answer"),
        ("postgresql://127.0.0.1:9/runs?user=me&password=hunter2", r"psycopg://127\.0\.0\.1:9/runs does not answer"),
        ("htp://user:hunter2@mlflow", "MLFLOW_TRACKING_URI is htp://mlflow, which is no address"),
        ("htp://user:hunter2/x@mlflow", "MLFLOW_TRACKING_URI is htp://mlflow, which is no address"),
        ("htp://mlflow/runs?password=hunter2", "MLFLOW_TRACKING_URI is htp://mlflow/runs, which is no address"),
    ],
)
def test_a_wrong_address_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, shown: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    began = time.monotonic()
    with pytest.raises((DependencyError, InputError), match=shown) as told, opened(address, tmp_path):
        pass
    assert time.monotonic() - began < 20
    assert "hunter2" not in str(told.value)
    assert not list(tmp_path.iterdir())
