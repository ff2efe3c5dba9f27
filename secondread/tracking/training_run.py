"""A training run in MLflow that outlives MLflow: everything is kept on disk first, and sent in the background.

At the start MLflow must answer: nobody should train for hours for an address that was mistyped. From then on training
waits for it no more. Where it does not answer at the end either, the record stays on disk, to be completed later.
A run that is begun again with the same folder goes on as the same run. Where other processes train, on this machine or
another, they note what they have to say in that folder, and the one that opened the run sends it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from secondread.errors import InputError, StoppedError
from secondread.logging import get_logger
from secondread.tracking.datasets import log_training_data
from secondread.tracking.delivery import deliver
from secondread.tracking.record import RUN_FILE, RunRecord
from secondread.tracking.runs import (
    LONGEST_PARAM,
    TrackingConfig,
    experiment_id,
    has_run,
    mlflow_errors,
    open_client,
    without_password,
)
from secondread.tracking.sender import Sender
from secondread.tracking.system import PREFIX, SystemWatch

log = get_logger(__name__)


class TrainingRun:
    """A run whose record is on disk. Make it with `open_training_run` or `join_training_run`.

    Args:
        record: of the run.
        sender: of the record; None where another process sends it.
    """

    def __init__(self, record: RunRecord, sender: Sender | None = None) -> None:
        self.run_id = record.run_id
        self._record = record
        self._sender = sender
        self._told = record.told()
        self._watch: SystemWatch | None = None

    def log_params(self, params: Mapping[str, object]) -> None:
        """Write settings down, once."""
        self._record.add_params({name: str(value)[:LONGEST_PARAM] for name, value in params.items()})
        self._wake()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Write the figures of one epoch down; what is known of an epoch already stays as it is.

        A run that was cut goes through some epochs again.
        """
        new = {name: value for name, value in metrics.items() if (name, step) not in self._told}
        if new:
            self._record.add_metrics(new, step)
            self._told.update((name, step) for name in new)
            self._wake()

    def log_folder(self, path: Path) -> None:
        """Keep a folder's files with the run."""
        self._record.add_folder(path, path.name)
        self._wake()

    def log_file(self, name: str, content: bytes) -> None:
        """Keep a file with the run; its name may hold folders."""
        self._record.add_file(name, content)
        self._wake()

    def watch_system(self) -> None:
        """Write the load of this machine down from now on, until `rest`."""
        first = 1 + max((step for name, step in self._told if name.startswith(PREFIX)), default=-1)
        self._watch = self._watch or SystemWatch(self.log_metrics, first=first)

    def rest(self) -> None:
        """Stop watching the system."""
        if self._watch:
            self._watch.stop()
        self._watch = None

    def confirm(self) -> None:
        """Wait until MLflow has everything so far; where another process sends the record, do nothing.

        Raises:
            InputError: it refuses something.
            DependencyError: it does not answer, or fails.
        """
        if self._sender:
            self._sender.send_now()

    def close(self, status: str, *, patient: bool = True) -> bool:
        """Note the end, and send what is left.

        Args:
            status: that the run ended with, in MLflow's words.
            patient: try more than once.
        Returns:
            Whether MLflow has everything.
        """
        self.rest()
        self._record.end(status)
        return self._sender is not None and self._sender.close(patient=patient)

    def _wake(self) -> None:
        if self._sender:
            self._sender.wake()


@contextmanager
def open_training_run(config: TrackingConfig, folder: Path, *, left: Path) -> Iterator[TrainingRun]:
    """Start a run, or go on with the one whose record is in the folder.

    Args:
        config: where and what.
        folder: for the record; it is removed when the run has ended and MLflow has everything.
        left: takes the record where MLflow does not answer at the end.
    Raises:
        DependencyError: MLflow does not answer at the start.
    """
    client = open_client(config.uri)
    record = _continued(client, config, folder) or _begun(client, config, folder)
    run = TrainingRun(record, Sender(lambda: open_client(config.uri), record))
    try:
        yield run
    except BaseException as error:
        failed = isinstance(error, Exception) and not isinstance(error, StoppedError)
        # nobody waits for long when something went wrong: a pod that is told to end has half a minute
        whole = run.close("FAILED" if failed else "KILLED", patient=False)
        if isinstance(error, InputError):  # else the same run may be tried again, and goes on with this record
            _leave(record, left, whole=whole)
        elif not whole:
            tell_how_to_complete(record, folder)
        raise
    _leave(record, left, whole=run.close("FINISHED"))


def join_training_run(folder: Path) -> TrainingRun:
    """The run whose record another process opened, and sends: this one needs to know no MLflow.

    Args:
        folder: of the record.
    """
    return TrainingRun(RunRecord.open(folder))


def abandon_training_run(config: TrackingConfig | None, folder: Path, *, left: Path) -> None:
    """End the run whose record is in the folder and that nobody goes on with; without a record there is none.

    Args:
        config: where; None where MLflow is not to be asked.
        folder: of the record, which is gone afterwards.
        left: takes the record where MLflow does not answer.
    """
    if not (folder / RUN_FILE).is_file():
        return
    record = RunRecord.open(folder)
    if record.ended() is None:
        record.end("KILLED")
    # tried more than once: a database that is written to just now is none that is away
    whole = config is not None and Sender(lambda: open_client(config.uri), record).close(patient=True)
    _leave(record, left, whole=whole)


@dataclass(frozen=True)
class Sent:
    """What MLflow was given.

    Attributes:
        run_id: of the run.
        ended: the run has ended, and its folder is gone; else it may go on, and the folder stays.
    """

    run_id: str
    ended: bool


def complete(folder: Path, uri: str) -> Sent:
    """Send MLflow what it lacks of a run.

    Args:
        folder: that a training, an evaluation or a quantization left.
        uri: of the MLflow that the run was begun in, or is to be begun in.
    Raises:
        InputError: the folder holds no record, or the run is not in this MLflow.
        DependencyError: MLflow does not answer.
    """
    record = RunRecord.open(folder)
    client = open_client(uri)
    if record.run_id and not has_run(uri, record.run_id):
        raise InputError(
            f"MLflow at {without_password(uri)} has no run {record.run_id}, which was begun at {record.place}. "
            "Set MLFLOW_TRACKING_URI to that one."
        )
    with mlflow_errors(client):
        deliver(client, record, wait=True)
    record = RunRecord.open(folder)  # it has its run by now
    ended = record.ended() is not None or record.is_addition()
    if ended:
        shutil.rmtree(folder)
    return Sent(record.run_id, ended)


def _begun(client: MlflowClient, config: TrackingConfig, folder: Path) -> RunRecord:
    with mlflow_errors(client):
        run = client.create_run(experiment_id(client, config), tags=dict(config.tags))
        if config.dataset:
            log_training_data(client, run.info.run_id, config.dataset)
    return RunRecord.create(folder, run_id=str(run.info.run_id), place=without_password(config.uri))


def _continued(client: MlflowClient, config: TrackingConfig, folder: Path) -> RunRecord | None:
    """The run that was cut, unless somebody deleted it."""
    if not (folder / RUN_FILE).is_file():
        return None
    record = RunRecord.open(folder)
    if not has_run(config.uri, record.run_id):
        return None
    record.reopen()
    with mlflow_errors(client):
        client.update_run(record.run_id, status="RUNNING")
    return record


def _leave(record: RunRecord, left: Path, *, whole: bool) -> None:
    """Nothing of a record that MLflow has; the rest goes where it stays."""
    if whole and record.is_sent():
        shutil.rmtree(record.root)
        return
    left = left.with_name(f"{left.name}-{record.run_id[:8]}")
    shutil.move(record.root, left)
    tell_how_to_complete(record, left)


def tell_how_to_complete(record: RunRecord, folder: Path) -> None:
    """Say what to do with a record that MLflow lacks some of."""
    log.warning(
        "MLflow at %s lacks %s. When it answers, complete it with `secondread train track --complete %s`.",
        record.place,
        f"some of run {record.run_id}" if record.run_id else "this run",
        folder,
    )
