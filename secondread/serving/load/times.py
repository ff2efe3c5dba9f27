"""What a load test measured, request by request: the file that locust's process writes, and its content as arrays."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from secondread.errors import DependencyError

PROTOCOLS = ("REST", "gRPC")
_MOST_FAILURES = 20  # different ones that are kept
_OTHER_FAILURES = "other failures"
_LETTERS = 200  # of a failure's text


class TimesWriter:
    """Writes the file: a line a request, as it ends, so that a long test holds nothing in memory.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", buffering=1, encoding="utf-8")  # a line at once, for whoever looks on

    def note(self, *, end: float, milliseconds: float, protocol: str, users: int, failure: str) -> None:
        """Write a request down.

        Args:
            end: of the request, in seconds of any clock.
            milliseconds: it took.
            protocol: of `PROTOCOLS`.
            users: that there were when it ended.
            failure: what it was told; empty where it was answered.
        """
        text = " ".join(failure.split())[:_LETTERS]
        self._file.write(json.dumps([end, milliseconds, PROTOCOLS.index(protocol), users, text]) + "\n")

    def close(self, *, callers_busy: bool) -> None:
        """Write the last line, without which the file is none.

        Args:
            callers_busy: the users themselves had not enough processor, so that the times are theirs too.
        """
        self._file.write(json.dumps({"callers_busy": callers_busy}) + "\n")
        self._file.close()


@dataclass(frozen=True)
class Times:
    """Requests, in the order in which they ended.

    Attributes:
        ends: float64 (requests,), seconds since the first of them was sent.
        milliseconds: float64 (requests,), that each took.
        protocols: uint8 (requests,), index into `PROTOCOLS`.
        users: int64 (requests,), that there were at its end.
        failed: bool (requests,).
        failures: what was told to how many of those that failed, the first one first.
        callers_busy: the users themselves had not enough processor.
    """

    ends: npt.NDArray[np.float64]
    milliseconds: npt.NDArray[np.float64]
    protocols: npt.NDArray[np.uint8]
    users: npt.NDArray[np.int64]
    failed: npt.NDArray[np.bool_]
    failures: Mapping[str, int]
    callers_busy: bool


def read_times(path: Path) -> Times:
    """Read what a `TimesWriter` wrote.

    Raises:
        DependencyError: the file is missing or has no end.
    """
    ends, milliseconds, protocols, users, failed = array("d"), array("d"), array("B"), array("q"), array("B")
    failures: Counter[str] = Counter()
    busy: bool | None = None
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if isinstance(row, dict):
                    busy = bool(row["callers_busy"])
                    break
                end_seconds, spent_ms, protocol, at_once, failure = row
                ends.append(end_seconds)
                milliseconds.append(spent_ms)
                protocols.append(protocol)
                users.append(at_once)
                failed.append(bool(failure))
                if failure:
                    known = failure in failures or len(failures) < _MOST_FAILURES
                    failures[failure if known else _OTHER_FAILURES] += 1
    except (OSError, ValueError) as error:
        raise DependencyError(f"locust left no times that can be read ({error}).") from error
    if busy is None:
        raise DependencyError("locust ended before it had written all times.")
    end, spent = np.array(ends), np.array(milliseconds)
    start = (end - spent / 1000).min() if end.size else 0.0
    return Times(
        ends=end - start,
        milliseconds=spent,
        protocols=np.array(protocols),
        users=np.array(users),
        failed=np.array(failed, dtype=np.bool_),
        failures=dict(failures),
        callers_busy=busy,
    )
