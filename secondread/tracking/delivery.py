"""Sends the record of a run to MLflow: what is unsent, in order, with the times that it is of."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, ErrorCode
from mlflow.utils.validation import MAX_METRICS_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH

from secondread.errors import DependencyError
from secondread.logging import get_logger
from secondread.tracking.journal import Entry
from secondread.tracking.record import RunRecord
from secondread.tracking.runs import TrackingConfig, experiment_id, without_password

KEY_TAG = "record"  # by which the run of a record is found again

log = get_logger(__name__)


def deliver(client: MlflowClient, record: RunRecord, *, wait: bool = False) -> bool:
    """Send what MLflow does not have yet, and last of all that the run ended.

    Args:
        client: of MLflow.
        record: of the run.
        wait: until no other process sends this record.
    Returns:
        False if another process is sending this record just now.
    Raises:
        MlflowException, OSError, DependencyError: MLflow, or its store of files, does not do as it is asked. Figures
            are sent although files cannot be.
    """
    with _alone(record, wait=wait) as alone:
        if not alone:
            return False
        record = _with_run(client, record)
        _send_figures(client, record)
        _send_files(client, record)
        ended = record.ended()
        if ended:
            client.set_terminated(record.run_id, status=ended[0], end_time=ended[1])
    return True


def _with_run(client: MlflowClient, record: RunRecord) -> RunRecord:
    """The record with its run, begun where MLflow has none: once, even if a process was killed before it noted that."""
    if record.new:
        record = RunRecord.open(record.root)  # an earlier try may have begun it
    new = record.new
    if new is None:
        return record
    experiment = experiment_id(client, TrackingConfig(client.tracking_uri, new.experiment, {}))
    found = client.search_runs([experiment], f"tags.{KEY_TAG} = '{new.key}'", max_results=1)
    tags = {**new.tags, KEY_TAG: new.key}
    run = found[0] if found else client.create_run(experiment, start_time=new.start, tags=tags)
    return record.begun(str(run.info.run_id))


@dataclass
class _Batch:
    """Entries that go into one request."""

    entries: list[Entry] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    params: list[Param] = field(default_factory=list)
    end: int = 0

    def has_room(self, entry: Entry) -> bool:
        metrics = len(self.metrics) + len(entry.get("metrics", ()))
        params = len(self.params) + len(entry.get("params", ()))
        return not self.entries or (metrics + params <= MAX_METRICS_PER_BATCH and params <= MAX_PARAMS_TAGS_PER_BATCH)

    def add(self, entry: Entry, end: int) -> None:
        self.entries.append(entry)
        self.metrics += [
            Metric(name, value, entry["time"], entry["step"]) for name, value in entry.get("metrics", {}).items()
        ]
        self.params += [Param(name, value) for name, value in entry.get("params", {}).items()]
        self.end = end


def _batches(entries: Iterator[tuple[Entry, int]]) -> Iterator[_Batch]:
    batch = _Batch()
    for entry, end in entries:
        if not batch.has_room(entry):
            yield batch
            batch = _Batch()
        batch.add(entry, end)
    if batch.entries:
        yield batch


def _send_figures(client: MlflowClient, record: RunRecord) -> None:
    for batch in _batches(record.figures.unsent()):
        try:
            client.log_batch(record.run_id, metrics=batch.metrics, params=batch.params)
        except MlflowException as error:
            if not _refuses(error):
                raise
            _send_singly(client, record, batch)
        record.figures.acknowledge(batch.end)


def _send_singly(client: MlflowClient, record: RunRecord, batch: _Batch) -> None:
    """Send all that MLflow takes: what it refuses, it would refuse for ever."""
    entities: list[Metric | Param] = [*batch.metrics, *batch.params]
    for entity in entities:
        metrics = [entity] if isinstance(entity, Metric) else []
        params = [entity] if isinstance(entity, Param) else []
        try:
            client.log_batch(record.run_id, metrics=metrics, params=params)
        except MlflowException as error:
            if not _refuses(error):
                raise
            log.warning("MLflow refuses '%s' of run %s: %s", entity.key, record.run_id, str(error).splitlines()[0])


def _refuses(error: MlflowException) -> bool:
    """Whether the fault is in what was sent; MLflow calls a database that went away a bad request too."""
    return bool(error.error_code == ErrorCode.Name(INVALID_PARAMETER_VALUE))


def _send_files(client: MlflowClient, record: RunRecord) -> None:
    for entry, end in record.files.unsent():
        folder = record.root / entry["at"]
        if folder.is_dir():  # it is gone if a process was killed after it had sent it
            _send_folder(client, record, folder, entry["to"])
        record.files.acknowledge(end)
        shutil.rmtree(folder, ignore_errors=True)


def _send_folder(client: MlflowClient, record: RunRecord, folder: Path, name: str) -> None:
    try:
        client.log_artifacts(record.run_id, str(folder), artifact_path=name or None)
    except (MlflowException, OSError, ImportError):
        raise
    except Exception as error:  # each kind of store has errors of its own
        reason = " ".join(without_password(str(error)).split())
        raise DependencyError(f"MLflow's store of files does not do as it is asked ({reason}). Look at it.") from error


@contextmanager
def _alone(record: RunRecord, *, wait: bool) -> Iterator[bool]:
    """Whether no other process sends this record, such as `secondread train track --complete`."""
    handle = os.open(record.root / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass  # a file system without locks: what two send at once is still there once
        yield True
    finally:
        os.close(handle)
