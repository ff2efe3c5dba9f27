"""Asking Prometheus: one query at one time.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from secondread.errors import DependencyError

_MAX_BYTES = 1 << 22  # of an answer; ours are a few kilobytes


@dataclass(frozen=True)
class Sample:
    """One value of an answer.

    Attributes:
        labels: that tell it from the others.
        value: may be infinite or no number, as PromQL's may.
    """

    labels: Mapping[str, str]
    value: float


class Prometheus:
    """A Prometheus server, or what answers as it does.

    Args:
        url: http://host:port, with the path that it is served at, if any.
        timeout_seconds: for an answer.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._url, self._timeout_seconds = url.rstrip("/"), timeout_seconds

    def query(self, promql: str, *, at: float) -> list[Sample]:
        """The value of an expression, an instant vector.

        Args:
            promql: the expression.
            at: seconds since 1970.
        Returns:
            A sample for each of its series; none where there is no series.
        Raises:
            DependencyError: nobody answers there, or not with a vector.
        """
        body = urllib.parse.urlencode({"query": promql, "time": f"{at:.3f}"}).encode()
        request = urllib.request.Request(f"{self._url}/api/v1/query", body)  # noqa: S310 - of the configuration
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_seconds) as response:  # noqa: S310
                return _samples(response.read(_MAX_BYTES + 1))
        except urllib.error.HTTPError as error:
            with error:
                raise self._failed(f"{error.code}, {_reason(error.read(_MAX_BYTES))}", promql) from error
        except (OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise self._failed(str(reason) or type(error).__name__, promql) from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._failed("what it said is no instant vector", promql) from error

    def _failed(self, reason: str, promql: str) -> DependencyError:
        return DependencyError(
            f"Prometheus at {self._url} did not answer `{promql}` ({reason}): is it up, and is this its address?"
        )


def _samples(body: bytes) -> list[Sample]:
    if len(body) > _MAX_BYTES:
        raise ValueError("too long")
    data = json.loads(body)["data"]
    if data["resultType"] != "vector":
        raise ValueError(data["resultType"])
    return [Sample(each["metric"], float(each["value"][1])) for each in data["result"]]


def _reason(body: bytes) -> str:
    """What Prometheus says is wrong with a query."""
    try:
        said: Any = json.loads(body)
        return str(said["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return "no reason given"
