"""Runs and registry of a real MLflow server, as a team has one: it takes no path of somebody's laptop."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import urllib3
from mlflow import MlflowClient

from secondread.errors import DependencyError, InputError
from secondread.model.folder import ModelFolder
from secondread.tracking.origin import Origin
from secondread.tracking.registry import Registry
from secondread.tracking.runs import MlflowRun, TrackingConfig, has_run, open_client, open_run

START_SECONDS = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL. One worker, and no job runner: each would import all of MLflow again."""
    folder = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "kept")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/health", process, folder / "log.txt")
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", url, timeout=1, retries=False).status == 200:
                return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
            break
    pytest.fail(f"the server did not start: {log.read_text()}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and its worker, which a killed parent would leave behind."""
    family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=20)
    finally:
        for pid in family:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def origin(server: str, tiny_model: ModelFolder) -> Origin:
    """A run that trained the model."""
    with open_run(TrackingConfig(uri=server, experiment="cxr", tags={})) as run:
        run.log_metrics({"loss": 0.5}, step=1)
        run.log_folder(tiny_model.root)
    return Origin(run.run_id, artifacts=tiny_model.root.name)


def test_a_model_is_registered_with_the_run_that_trained_it(
    server: str, tmp_path: Path, tiny_model: ModelFolder, origin: Origin
) -> None:
    registry = Registry(server)
    made = registry.register(tiny_model, name="cxr", root=tmp_path, tags={"a": "b"}, origin=origin)
    assert (made.version, made.alias, made.run_id) == (1, "champion", origin.run_id)
    assert made.storage_uri == str(tmp_path / "cxr" / tiny_model.digest())
    assert registry.register(tiny_model, name="cxr", root=tmp_path, tags={}, origin=origin) == made
    version = open_client(server).get_model_version("cxr", "1")
    assert version.source == f"runs:/{origin.run_id}/{tiny_model.root.name}"
    assert version.tags["a"] == "b"


def test_an_object_store_needs_no_run(server: str, tmp_path: Path, tiny_model: ModelFolder) -> None:
    made = Registry(server).register(tiny_model, name="oct", root=tmp_path, tags={}, root_uri="s3://models/oct")
    assert made.storage_uri == f"s3://models/oct/oct/{tiny_model.digest()}"


def test_a_folder_without_a_run_is_refused_before_anything_is_made(
    server: str, tmp_path: Path, tiny_model: ModelFolder
) -> None:
    with pytest.raises(InputError, match="does not say which MLflow run trained it"):
        Registry(server).register(tiny_model, name="none", root=tmp_path, tags={})
    assert not list(tmp_path.iterdir())
    assert Registry(server).versions("none") == []


def test_what_the_server_refuses_is_said_in_its_words(server: str, tmp_path: Path, tiny_model: ModelFolder) -> None:
    with pytest.raises(InputError, match=r"MLflow at http://127\.0\.0\.1:\d+ refuses \(.*Invalid model version source"):
        Registry(server).register(
            tiny_model, name="bad", root=tmp_path, tags={}, origin=Origin("0" * 32, artifacts="../elsewhere")
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
