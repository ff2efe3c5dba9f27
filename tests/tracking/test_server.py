"""Runs and registry of a real MLflow server, as a team has one: it takes no path of somebody's laptop."""

from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from mlflow import MlflowClient

from secondread.config.environment import Environment
from secondread.errors import DependencyError, InputError
from secondread.model.folder import ModelFolder
from secondread.tracking.asked import Asked
from secondread.tracking.finished_run import FinishedRun, log_finished
from secondread.tracking.origin import Origin
from secondread.tracking.registry import Registry
from secondread.tracking.runs import MlflowRun, TrackingConfig, has_run, open_client, open_run


@pytest.fixture
def server(mlflow_server: Any) -> str:
    """Its URL."""
    return str(mlflow_server.url)


@pytest.fixture(scope="module")
def origin(running_mlflow: Any, tiny_model: ModelFolder) -> Origin:
    """A run that trained the model."""
    running_mlflow.start()
    with open_run(TrackingConfig(uri=running_mlflow.url, experiment="cxr", tags={})) as run:
        run.log_metrics({"loss": 0.5}, step=1)
        run.log_folder(tiny_model.root)
    return Origin(run.run_id, artifacts=tiny_model.root.name)


def test_a_model_is_registered_with_the_run_that_trained_it(
    server: str, tmp_path: Path, tiny_model: ModelFolder, origin: Origin
) -> None:
    registry = Registry(server)
    made = registry.register(
        tiny_model,
        name="cxr",
        root=tmp_path,
        tags={"a": "b", "gate.passed": "true"},
        environment=Environment.read(),
        origin=origin,
    )
    assert (made.version, made.alias, made.run_id) == (1, "champion", origin.run_id)
    assert made.storage_uri == str(tmp_path / "cxr" / tiny_model.digest())
    assert (
        registry.register(tiny_model, name="cxr", root=tmp_path, tags={}, environment=Environment.read(), origin=origin)
        == made
    )
    version = open_client(server).get_model_version("cxr", "1")
    assert version.source == f"runs:/{origin.run_id}/{tiny_model.root.name}"
    assert version.tags["a"] == "b"


def test_what_is_over_is_one_run_with_its_files_and_nothing_is_printed(
    server: str, origin: Origin, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A command with `--json` prints one document, and nothing else, on stdout."""
    (tmp_path / "report.html").write_text("the report")
    asked = Asked("d" * 64, {"evaluate.resamples": "100"}, {"git_revision": "4cc7934"})
    what = FinishedRun(
        experiment="cxr",
        name="evaluate fp32.onnx on test",
        asked=asked,
        origin=origin,
        tags={"kind": "evaluation"},
        params={"split": "test"},
        metrics={f"recall/class {number}": number / 1200 for number in range(1200)},  # more than one request takes
        curves={"corrupted/accuracy/noise": [0.9, 0.8]},
        files={"report.html": tmp_path / "report.html"},
    )
    run_id = log_finished(server, what, beside=tmp_path / "evaluation")
    assert log_finished(server, what, beside=tmp_path / "evaluation") == run_id, "told again, it is the same run"
    client = open_client(server)
    run = client.get_run(run_id)
    assert len(run.data.metrics) == 1201
    assert (run.data.tags["mlflow.parentRunId"], run.data.params["evaluate.resamples"]) == (origin.run_id, "100")
    assert [item.path for item in client.list_artifacts(run_id)] == ["report.html"]
    assert capfd.readouterr().out == ""


def test_an_object_store_needs_no_run(server: str, swift: Any, tiny_model: ModelFolder) -> None:
    swift.make_container("needs-no-run")
    made = Registry(server).register(
        tiny_model, name="oct", root="s3://needs-no-run/oct", tags={}, environment=swift.environment()
    )
    assert made.storage_uri == f"s3://needs-no-run/oct/oct/{tiny_model.digest()}"


def test_a_folder_without_a_run_is_refused_before_anything_is_made(
    server: str, tmp_path: Path, tiny_model: ModelFolder
) -> None:
    with pytest.raises(InputError, match="does not say which MLflow run trained it"):
        Registry(server).register(tiny_model, name="none", root=tmp_path, tags={}, environment=Environment.read())
    assert not list(tmp_path.iterdir())
    assert Registry(server).versions("none") == []


def test_what_the_server_refuses_is_said_in_its_words(server: str, tmp_path: Path, tiny_model: ModelFolder) -> None:
    with pytest.raises(InputError, match=r"MLflow at http://127\.0\.0\.1:\d+ refuses \(.*Invalid model version source"):
        Registry(server).register(
            tiny_model,
            name="bad",
            root=tmp_path,
            tags={},
            environment=Environment.read(),
            origin=Origin("0" * 32, artifacts="../elsewhere"),
        )


def test_a_run_is_found_until_it_is_deleted(server: str, origin: Origin) -> None:
    assert has_run(server, origin.run_id)
    assert not has_run(server, "0" * 32)
    client = open_client(server)
    client.delete_run(origin.run_id)
    assert not has_run(server, origin.run_id)
    client.restore_run(origin.run_id)


def test_an_unknown_version_is_the_callers_mistake(server: str) -> None:
    with pytest.raises(InputError, match="no model 'cxr' with version or alias '77'"):
        Registry(server).get("cxr", "77")


def test_a_server_that_goes_down_in_between_is_a_missing_dependency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    client = MlflowClient(tracking_uri="http://user:hunter2@127.0.0.1:9")
    with pytest.raises(DependencyError, match=r"MLflow at http://127\.0\.0\.1:9 does not do as it is asked") as caught:
        MlflowRun(client, "0" * 32).log_metrics({"loss": 0.5}, step=1)
    assert "hunter2" not in str(caught.value)


def test_files_lie_in_the_object_store_although_clients_have_no_key_to_it(
    server: str, swift: Any, tiny_model: ModelFolder, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server passes them on."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_S3_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    client = open_client(server)
    kept = client.download_artifacts(origin.run_id, origin.artifacts, str(tmp_path))
    assert (Path(kept) / "fp32.onnx").read_bytes() == (tiny_model.root / "fp32.onnx").read_bytes()
    storage_url, token = swift.sign_in()
    with urlopen(Request(f"{storage_url}/mlflow", headers={"X-Auth-Token": token}), timeout=20) as answer:
        stored = answer.read().decode().split()
    experiment = client.get_run(origin.run_id).info.experiment_id
    assert f"artifacts/{experiment}/{origin.run_id}/artifacts/{origin.artifacts}/fp32.onnx" in stored
