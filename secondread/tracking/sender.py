"""Sends a run's record in the background, so that training never waits for MLflow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from mlflow import MlflowClient

from secondread.errors import SecondReadError
from secondread.logging import get_logger
from secondread.tracking.delivery import deliver
from secondread.tracking.record import RunRecord
from secondread.tracking.runs import mlflow_errors

log = get_logger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds until MLflow is asked again; doubled each time
_LAST_PAUSES = (0.0, 2.0, 5.0)  # seconds before each of the last tries
_LAST_SECONDS = 300.0  # longest wait for all of them: a server that hangs, or a large file on a slow line
_HURRIED_SECONDS = 5.0  # the same where there is no time: a pod that is told to end has half a minute for everything
_LOOK_SECONDS = 5.0  # between two looks at what another process, that trains, may have written


class Sender:
    """One thread that sends what is new in a record, whoever wrote it, and asks again when MLflow does not answer.

    Args:
        connect: gives a client; asked again after a failure, since a database may have to be connected to anew.
        record: of the run.
    """

    def __init__(self, connect: Callable[[], MlflowClient], record: RunRecord) -> None:
        self._connect = connect
        self._record = record
        self._client: MlflowClient | None = None
        self._news, self._closing = threading.Event(), threading.Event()
        self._turn = threading.Lock()
        self._failed = self._whole = False
        self._last_pauses: Sequence[float] = _LAST_PAUSES
        # a daemon: a server that hangs must not keep the process from ending
        self._thread = threading.Thread(target=self._run, name="mlflow-sender", daemon=True)

    def wake(self) -> None:
        """Say that there is something new."""
        if self._thread.ident is None:
            self._thread.start()
        self._news.set()

    def send_now(self) -> bool:
        """Send what there is and wait for it; False if another process is sending just now.

        Raises:
            InputError: MLflow refuses it.
            DependencyError: MLflow does not answer, or fails.
        """
        with self._turn:
            if self._client is None:
                self._client = self._connect()
            with mlflow_errors(self._client):
                return deliver(self._client, self._record)

    def close(self, *, patient: bool) -> bool:
        """Send what is left and end.

        Args:
            patient: wait long, and try more than once.
        Returns:
            Whether MLflow has everything.
        """
        self._last_pauses = _LAST_PAUSES if patient else _LAST_PAUSES[:1]
        self._closing.set()
        self.wake()
        self._thread.join(_LAST_SECONDS if patient else _HURRIED_SECONDS)
        return self._whole

    def _run(self) -> None:
        pause = 0.0
        while not self._closing.is_set():
            if pause:
                self._closing.wait(pause)
            else:
                self._news.wait(_LOOK_SECONDS)
            if not self._closing.is_set():
                self._news.clear()
                pause = 0.0 if self._try() else min(_LONGEST_PAUSE, max(_FIRST_PAUSE, 2 * pause))
        never = threading.Event()  # to wait on
        self._whole = any(not never.wait(pause) and self._try() for pause in self._last_pauses)

    def _try(self) -> bool:
        """Whether everything was sent."""
        try:
            done = self.send_now()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said, and the work does not end for it
            self._client = None
            if not self._failed:
                reason = str(error) if isinstance(error, SecondReadError) else f"{type(error).__name__}: {error}"
                log.warning("%s What MLflow lacks is kept and sent later; the work goes on.", reason)
            self._failed = True
            return False
        if done and self._failed:
            log.info("MLflow has everything again.")
            self._failed = False
        return done
