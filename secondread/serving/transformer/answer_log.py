"""What was said of each image, in a file: so that two versions that were asked the same can be compared.

A line an image, of which nothing was written by a client:

    1767225600.123 <SHA-256 of the bytes that came, hex> "cxr-normal"

Who answers waits for no disk: lines are kept in memory, and a thread writes them every half a second. What a killed
server had not written yet, and what a full disk does not take, is lost.
"""

from __future__ import annotations

import bisect
import json
import math
import os
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from secondread.errors import InputError
from secondread.logging import get_logger

FLUSH_SECONDS = 0.5
MOST_BYTES = 16 << 20  # of a file, some 180,000 lines; then it takes the place of the older one
_MOST_WAITING = 10_000  # lines, while a disk hangs
_DISORDER_SECONDS = 1.0  # that a line may stand behind a later one: threads write them down
_STOP_SECONDS = 2.0  # for the last lines to be written
# Strict to the line's end: a line that was cut short and the one after it, which stands behind it, are no line.
_LINE = re.compile(rb'^(\d+\.\d{3}) ([0-9a-f]{64}) ("(?:[^"\\\n]|\\.)*")\n', re.MULTILINE)

log = get_logger(__name__)


class AnswerLog:
    """Writes such a file, which its own user alone can read, and goes on with one that is there.

    Args:
        path: of it. The older one lies beside it, as `older` says.
    Raises:
        InputError: its folder is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        if not self._path.parent.is_dir():
            raise InputError(f"serve.answer_log is {path}, but there is no folder {path.parent}: create it.")
        self._waiting: deque[tuple[float, str, str]] = deque(maxlen=_MOST_WAITING)
        self._warned = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answer-log", daemon=True)
        self._thread.start()

    def add(self, at: float, image_ids: Iterable[str], labels: Iterable[str]) -> None:
        """Take note of an answer.

        Args:
            at: seconds since 1970.
            image_ids: of its images, as of `contract.image_id`.
            labels: of the same.
        """
        self._waiting.extend((at, *each) for each in zip(image_ids, labels, strict=True))

    def close(self) -> None:
        """Write what is left, and end it."""
        self._stop.set()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        stopped = False
        while not stopped:
            stopped = self._stop.wait(FLUSH_SECONDS)
            try:
                self._write()
            except OSError as error:  # readings go on
                if not self._warned:
                    self._warned = True
                    why = error.strerror
                    log.warning("%s cannot be written (%s): what is answered meanwhile is not in it", self._path, why)

    def _write(self) -> None:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not lines:
            return
        text = "".join(f"{at:.3f} {image_id} {json.dumps(label)}\n" for at, image_id, label in lines)
        # opened anew each time, and with no buffer that keeps what a full disk did not take
        with open(self._path, "ab", buffering=0, opener=partial(os.open, mode=0o600)) as file:
            file.write(text.encode())
            is_full = file.tell() >= MOST_BYTES
        if is_full:
            self._path.replace(older(self._path))


def older(path: Path) -> Path:
    """Where the lines lie that were written before those in a file."""
    return path.with_name(f"{path.name}.1")


def read(path: Path, start: float, end: float) -> Iterator[tuple[float, str, str]]:
    """What both files have of a time: when, image and label; a line that is not whole is passed over.

    Args:
        path: of the newer file.
        start: seconds since 1970.
        end: likewise; not of the time.
    Raises:
        FileNotFoundError: there is neither.
        OSError: they cannot be read.
    """
    # The newer one first, and so nothing is missed that becomes the older one meanwhile; some may come twice.
    newer, before = (_bytes(each) for each in (path, older(path)))
    if newer is None and before is None:
        raise FileNotFoundError(path)
    for data in (before or b"", newer or b""):
        for line in _LINE.finditer(data, _place(data, start - _DISORDER_SECONDS)):
            if start <= float(line[1]) < end:
                yield float(line[1]), line[2].decode(), json.loads(line[3])


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _place(data: bytes, at: float) -> int:
    """Where to begin to read for the lines of a time and later: two files have 360,000, a minute few of them."""

    def time_after(place: int) -> float:
        line = _LINE.search(data, place)
        return float(line[1]) if line else math.inf

    return bisect.bisect_left(range(len(data)), at, key=time_after)
