"""MLflow's client, what it has to say in one line, and runs that are written straight to it."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from secondread.errors import DependencyError, InputError
from secondread.tracking.datasets import TrackedDataset, log_training_data

LONGEST_PARAM = 6000  # characters that MLflow stores
_DATABASE_SERVERS = ("postgres", "mysql", "mssql")
_STORES = ("http://", "https://", "sqlite:///", *_DATABASE_SERVERS, "databricks")  # a folder of files MLflow refuses


class RunTracker(Protocol):
    """Where a training run is written down. Nothing but `confirm` waits for MLflow."""

    run_id: str

    def log_params(self, params: Mapping[str, object]) -> None:
        """Write settings down, once."""
        ...

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write the figures of one epoch down; what is known of an epoch already stays as it is."""
        ...

    def log_folder(self, path: Path) -> None:
        """Keep a folder's files with the run."""
        ...

    def log_file(self, name: str, content: bytes) -> None:
        """Keep a file with the run; its name may hold folders."""
        ...

    def watch_system(self) -> None:
        """Write the load of this machine down from now on, until `rest`."""
        ...

    def rest(self) -> None:
        """Stop watching the system."""
        ...

    def confirm(self) -> None:
        """Wait until MLflow has everything so far.

        Raises:
            DependencyError: it does not answer, or fails.
        """
        ...


@dataclass(frozen=True)
class TrackingConfig:
    """Where runs are written down.

    Attributes:
        uri: of MLflow: `sqlite:///...`, `postgresql://...` or a server.
        experiment: name that runs are grouped under; the model's name.
        tags: of the run, such as the dataset version.
        dataset: that the run trains on, to be shown as its input; None for nothing.
    """

    uri: str
    experiment: str
    tags: Mapping[str, str]
    dataset: TrackedDataset | None = None


class MlflowRun:
    """A run in MLflow, through a client of its own: no global state is touched. Whoever writes waits for MLflow.

    Args:
        client: of the tracking store.
        run_id: of a run that exists.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self.run_id = run_id

    def log_params(self, params: Mapping[str, object]) -> None:
        """Write settings down, once."""
        entries = [Param(key, str(value)[:LONGEST_PARAM]) for key, value in params.items()]
        with mlflow_errors(self._client):
            self._client.log_batch(self.run_id, params=entries)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write the figures of one epoch down."""
        now = time.time_ns() // 1_000_000
        entries = [Metric(key, value, now, step) for key, value in metrics.items()]
        with mlflow_errors(self._client):
            self._client.log_batch(self.run_id, metrics=entries)

    def log_folder(self, path: Path) -> None:
        """Keep a folder's files with the run."""
        with mlflow_errors(self._client):
            self._client.log_artifacts(self.run_id, str(path), artifact_path=path.name)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Put tags on the run."""
        with mlflow_errors(self._client):
            for key, value in tags.items():
                self._client.set_tag(self.run_id, key, value)


def open_client(uri: str) -> MlflowClient:
    """A client of MLflow's tracking store and registry.

    Raises:
        InputError: it is no address, or the folder of the store cannot be written.
        DependencyError: the store does not answer, or is one that a pod would lose.
    """
    if not uri.startswith(_STORES):
        raise InputError(
            f"MLFLOW_TRACKING_URI is {without_password(uri)}, which is no address of an MLflow. Set it to one that "
            "begins with http://, https:// or postgresql://, or unset it for a file of your own."
        )
    path = uri.removeprefix("sqlite:///")
    if path != uri:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            raise DependencyError("a pod loses a SQLite store when it ends. Set MLFLOW_TRACKING_URI to a server.")
        _make_folder(Path(path).parent)
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # how it sets its tables up is no news to a user
    # a server that is down is asked for 2 minutes by default; a person waits for the answer
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    # a run's address, on stdout when it ends, would stand beside the document of `--json`
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # a database that goes away is said in one line, here, and not in a page for each statement
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    uri = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", uri)  # the driver that is installed
    try:
        if uri.startswith(_DATABASE_SERVERS):
            _connect_once(uri)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError) as error:
        raise DependencyError(
            f"MLflow at {without_password(uri)} does not answer ({_first_cause(error)}). Start it, or set "
            "MLFLOW_TRACKING_URI to the address of one that runs."
        ) from error
    return client


def _first_cause(error: BaseException) -> str:
    """What went wrong in the first place, such as `Connection refused`, in one line."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return without_password((said.strip() or type(error).__name__).splitlines()[0])


def _connect_once(uri: str) -> None:
    """Open and close a connection: MLflow itself asks a database that is down for two minutes.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    engine = create_engine(uri, poolclass=NullPool)
    with engine.connect():
        pass


@contextmanager
def mlflow_errors(client: MlflowClient) -> Iterator[None]:
    """Say in one line what MLflow has against something.

    Raises:
        InputError: it refuses what it was asked.
        DependencyError: it does not answer, or fails.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = without_password((str(error).splitlines() or [type(error).__name__])[0])
        uri = without_password(client.tracking_uri)
        status = error.get_http_status_code() if isinstance(error, MlflowException) else 503
        if 400 <= status < 500 and status != 429:  # too many requests at once pass
            raise InputError(f"MLflow at {uri} refuses ({reason}).") from error
        raise DependencyError(f"MLflow at {uri} does not do as it is asked ({reason}). Look at its log.") from error


def has_run(uri: str, run_id: str) -> bool:
    """Whether a run is in an MLflow, and not deleted.

    Raises:
        DependencyError: MLflow does not answer.
    """
    client = open_client(uri)
    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == LifecycleStage.ACTIVE)
    except MlflowException as error:
        if is_missing(error):
            return False
        with mlflow_errors(client):
            raise


def is_missing(error: MlflowException) -> bool:
    """Whether MLflow says that there is no such thing, and not that something is wrong with the question or itself."""
    return error.error_code in (ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), ErrorCode.Name(INVALID_PARAMETER_VALUE))


@contextmanager
def open_run(config: TrackingConfig) -> Iterator[MlflowRun]:
    """Start a run; it ends as finished, or as failed when the block raises.

    Raises:
        DependencyError: MLflow does not answer.
    """
    client = open_client(config.uri)
    with mlflow_errors(client):
        run = client.create_run(experiment_id(client, config), tags=dict(config.tags))
    try:
        if config.dataset:
            with mlflow_errors(client):
                log_training_data(client, run.info.run_id, config.dataset)
        yield MlflowRun(client, run.info.run_id)
    except BaseException:
        with contextlib.suppress(MlflowException):  # what failed first is the news, not that MLflow is down too
            client.set_terminated(run.info.run_id, status="FAILED")
        raise
    with mlflow_errors(client):
        client.set_terminated(run.info.run_id, status="FINISHED")


def experiment_id(client: MlflowClient, config: TrackingConfig) -> str:
    """Id of the experiment, made on first use; a SQLite store keeps its files beside the database."""
    found = client.get_experiment_by_name(config.experiment)
    if found is not None:
        return str(found.experiment_id)
    path = config.uri.removeprefix("sqlite:///")
    location = None if path == config.uri else (Path(path).parent / "artifacts").as_uri()
    return str(client.create_experiment(config.experiment, artifact_location=location))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
        reason = "no permission"
    except OSError as error:
        writable, reason = False, error.strerror or type(error).__name__
    if not writable:
        raise InputError(
            f"cannot write {folder}: {reason}. Set SECONDREAD_HOME or MLFLOW_TRACKING_URI to what you may write to."
        )


def without_password(text: str) -> str:
    """The text without what stands before the host, and after a question mark, of any URI in it.

    What is down often quotes how it was asked, and `postgresql://host/name?user=...&password=...` is an address too.
    """
    return re.sub(r"://\S*@", "://", re.sub(r"(://[^\s?]*)\?\S*", r"\1", text))
