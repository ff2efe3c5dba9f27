"""A team's MLflow: a real server that keeps runs in PostgreSQL and files in an object store by S3's API, Swift's."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3

START_SECONDS = 120.0


class MlflowServer:
    """The server, killed and started again on the same port, database and store."""

    def __init__(self, folder: Path, *, database: str, files: str, variables: dict[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "log.txt"
        # one worker, and no job runner: each would import all of MLflow again
        self._environment = {**os.environ, **variables, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        options = {"--host": "127.0.0.1", "--port": str(self.port), "--workers": "1"}
        options |= {"--backend-store-uri": database, "--artifacts-destination": files}
        words = [word for option in options.items() for word in option]
        self._command = [sys.executable, "-m", "mlflow", "server", *words]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is not None:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                if urllib3.request("GET", f"{self.url}/health", timeout=1, retries=False).status == 200:
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.1)
                break
        pytest.fail(f"the server did not start: {self._log.read_text()}")

    def kill(self) -> None:
        """SIGKILL to the server and its worker, which a killed parent would leave behind."""
        if self._process is None:
            return
        family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        psutil.wait_procs(family, timeout=20)
        self._process = None

    def send(self, signal_number: int) -> None:
        """A signal to the server and its worker."""
        assert self._process is not None
        family = psutil.Process(self._process.pid).children(recursive=True)
        for process in (self._process, *family):
            process.send_signal(signal_number)


@pytest.fixture(scope="session")
def running_mlflow(
    tmp_path_factory: pytest.TempPathFactory, running_postgres: Any, running_swift: Any
) -> Iterator[MlflowServer]:
    running_swift.make_container("mlflow")
    variables = running_swift.variables()
    s3 = {name: value for name, value in variables.items() if name.startswith("AWS_")}
    # what docs/tracking.md says of a store that is not Amazon's
    s3 |= {"MLFLOW_S3_ENDPOINT_URL": running_swift.url, "AWS_DEFAULT_REGION": "us-east-1"}
    s3 |= {"AWS_REQUEST_CHECKSUM_CALCULATION": "when_required", "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required"}
    database = running_postgres.new_database().replace("postgresql://", "postgresql+psycopg://")
    folder = tmp_path_factory.mktemp("mlflow-server")
    server = MlflowServer(folder, database=database, files="s3://mlflow/artifacts", variables=s3)
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def mlflow_server(running_mlflow: MlflowServer, postgres: Any, swift: Any) -> MlflowServer:
    """The server and what it needs, each started again where a test ended it."""
    running_mlflow.start()
    return running_mlflow
