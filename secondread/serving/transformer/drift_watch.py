"""Watches whether the images that a version is asked about are still like those of val.

What the graph said of the latest images is kept in memory, and is compared every so often in a thread of its own that
yields to whoever answers. No image, and nothing that a client wrote, is kept; nothing is written.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from secondread.logging import get_logger
from secondread.monitoring.answers import Answers
from secondread.monitoring.drift import Drift, find_drift
from secondread.serving.transformer.metrics import DRIFT

_NICE = 19  # the last to get a core that somebody else wants
_STOP_SECONDS = 2.0  # for a comparison to end; what takes longer ends with the process

Floats = npt.NDArray[np.float32]

log = get_logger(__name__)


class DriftWatch:
    """The drift of one model version, as the gauge `secondread_drift`.

    Args:
        name: of the model.
        version: of it.
        reference: what it answered on val.
        images: latest ones that are compared.
        seconds: between two comparisons.
    """

    def __init__(self, name: str, version: str, reference: Answers, *, images: int, seconds: float) -> None:
        self._name, self._version, self._reference = name, version, reference
        self._images, self._seconds = images, seconds
        # an element a request, each of at least one image
        self._latest: deque[tuple[Floats, Floats]] = deque(maxlen=images)
        self._count, self._compared = 0, 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._show(Drift(images=0))
        self._thread = threading.Thread(target=self._run, name="drift", daemon=True)
        self._thread.start()

    def add(self, probabilities: Floats, embedding: Floats) -> None:
        """Take note of what was answered to a request.

        Args:
            probabilities: float32 (images, classes).
            embedding: float32 (images, dim).
        """
        with self._lock:
            self._latest.append((probabilities, embedding))
            self._count += 1

    def look(self) -> None:
        """Compare now, if there was a request since the last time."""
        with self._lock:
            latest, count = list(self._latest), self._count
        if count != self._compared:
            self._compared = count
            self._show(find_drift(self._reference, _answers(latest, self._images)))

    def close(self) -> None:
        """End it, and show no drift of this version any more."""
        self._stop.set()
        self._thread.join(_STOP_SECONDS)
        for statistic in asdict(Drift(images=0)):
            DRIFT.remove(self._name, self._version, statistic)

    def _run(self) -> None:
        with suppress(OSError):  # on Linux it is of this thread alone
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        threadpool_limits(1, user_api="blas")  # of the process, which computes nothing else with it
        while not self._stop.wait(self._seconds):
            try:
                self.look()
            except Exception:  # readings go on; what is not known is no number
                log.exception("the drift of %s version %s cannot be told", self._name, self._version)
                self._show(Drift(images=0))

    def _show(self, drift: Drift) -> None:
        for statistic, value in asdict(drift).items() if not self._stop.is_set() else ():
            DRIFT.labels(self._name, self._version, statistic).set(value)


def _answers(latest: list[tuple[Floats, Floats]], images: int) -> Answers:
    """Of the last so many images; those of one request are one group, since they are often of one study."""
    probabilities = np.concatenate([each for each, _ in latest])[-images:]
    return Answers(
        predicted=probabilities.argmax(axis=1),
        confidence=probabilities.max(axis=1),
        embedding=np.concatenate([each for _, each in latest])[-images:],
        group=np.repeat(np.arange(len(latest)), [len(each) for each, _ in latest])[-images:],
    )
