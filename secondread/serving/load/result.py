"""Figures of a load test, as a whole, by protocol and over time, and the gate that looks at them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.config.loadtest import LoadTestConfig
from secondread.errors import GateRefused
from secondread.evaluation.verdict import GateResult, Line
from secondread.serving.load.times import PROTOCOLS, Times

_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)  # seconds that an interval may have
_FEWEST, _MOST = 10, 60  # intervals of a test: fewer show no course, more cannot be seen
FULL = 100  # requests from which on their P99 is another one than the slowest


@dataclass(frozen=True)
class Figures:
    """Of some requests.

    Attributes:
        requests: sent and ended.
        failures: of these, without a reading.
        p50_ms, p95_ms, p99_ms: milliseconds, nearest rank, where a request that failed took longer than any; None where
            it is the time of one of these, and when there are none.
        slowest_ms: of the answered requests; None when there are none.
    """

    requests: int
    failures: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    slowest_ms: float | None

    @property
    def failure_share(self) -> float:
        """Failures among the requests; 1 when there were no requests."""
        return self.failures / self.requests if self.requests else 1.0


@dataclass(frozen=True)
class Interval(Figures):
    """Of the requests that ended in a part of the test.

    Attributes:
        start_seconds: since the first request was sent.
        seconds: it lasted.
        users: that there were at most.
    """

    start_seconds: float
    seconds: float
    users: int


@dataclass(frozen=True)
class LoadTestResult(Figures):
    """What a load test found.

    Attributes:
        rate_per_second: answered requests a second.
        first_failure: what the first failed request was told.
        report: page.
        users: that there were at most.
        callers_busy: the users themselves had not enough processor, so that the times are theirs too.
        by_protocol: the same of REST and of gRPC, as far as they were asked.
        intervals: the same over time.
        failure_counts: how many requests failed with which text.
    """

    rate_per_second: float
    first_failure: str
    report: str
    users: int = 0
    callers_busy: bool = False
    by_protocol: Mapping[str, Figures] = field(default_factory=dict)
    intervals: tuple[Interval, ...] = ()
    failure_counts: Mapping[str, int] = field(default_factory=dict)

    def to_json(self, *, over_time: bool = True) -> dict[str, Any]:
        """As JSON.

        Args:
            over_time: with the intervals.
        """
        document = {**asdict(self), "failure_share": self.failure_share}
        if not over_time:
            del document["intervals"]
        return document

    def table(self) -> str:
        """For people."""
        shown = {"p50": self.p50_ms, "p95": self.p95_ms, "p99": self.p99_ms, "slowest": self.slowest_ms}
        times = "  ".join(
            f"{name} {value:.1f} ms" if value is not None else f"{name} -" for name, value in shown.items()
        )
        busy = "\nthe callers had not enough processor: part of these times is theirs" if self.callers_busy else ""
        return (
            f"{self.requests} requests, {self.rate_per_second:.1f}/s answered  {times}  "
            f"failures {self.failures} ({self.failure_share:.2%}){busy}\nreport {self.report}"
        )

    def gate(self, config: LoadTestConfig) -> GateResult:
        """Whether the server bore the load. What is not known is a no."""
        return GateResult.of([_enough(self, config), _failures(self, config), _p99(self, config)])

    def check(self, config: LoadTestConfig) -> None:
        """Say no when the server did not bear the load.

        Raises:
            GateRefused: too many failures, too slow, or too little was measured.
        """
        refuse(self.gate(config))


def refuse(gate: GateResult) -> None:
    """Say no where a gate did.

    Raises:
        GateRefused: with the reasons of the lines that do not hold.
    """
    if not gate.passed:
        raise GateRefused(f"load test: {'; '.join(line.reason for line in gate.lines if not line.passed)}.")


def _enough(found: LoadTestResult, config: LoadTestConfig) -> Line:
    name, least = "requests_at_least", config.requests_at_least
    if found.requests >= least:
        return Line(name, True, f"{found.requests} requests, at least {least} asked")
    return Line(name, False, f"{found.requests} requests are too few to tell, at least {least} asked: test for longer")


def _failures(found: LoadTestResult, config: LoadTestConfig) -> Line:
    name, limit = "failures_below", f"{config.failures_below:.2%}"
    if not found.requests:
        return Line(name, False, f"there was no request at all, and failures below {limit} asked")
    said = f"{found.failure_share:.2%} of {found.requests} requests failed"
    if found.failure_share < config.failures_below:
        return Line(name, True, f"{said}, below {limit}")
    return Line(name, False, f"{said}, not below {limit} (first: {found.first_failure})")


def _p99(found: LoadTestResult, config: LoadTestConfig) -> Line:
    name, limit = "p99_below_ms", f"{config.p99_below_ms:g} ms"
    if found.p99_ms is None:
        why = f"one request in {FULL} or more had no answer" if found.failures else "there was no request"
        return Line(name, False, f"P99 is not known, since {why}, and below {limit} asked")
    holds = found.p99_ms < config.p99_below_ms
    advice = "" if holds else ": give the server more CPUs, or a smaller model"
    return Line(name, holds, f"P99 {found.p99_ms:.2f} ms is {'' if holds else 'not '}below {limit}{advice}")


def summarise(times: Times, *, report: str) -> LoadTestResult:
    """Figures of all requests.

    Args:
        times: of each.
        report: where the page will be.
    """
    everything = np.ones(times.ends.shape, dtype=np.bool_)
    by_protocol = {name: _figures(times, times.protocols == index) for index, name in enumerate(PROTOCOLS)}
    seconds = float(times.ends.max(initial=0.0))
    return LoadTestResult(
        **asdict(_figures(times, everything)),
        rate_per_second=float((~times.failed).sum()) / seconds if seconds else 0.0,
        first_failure=next(iter(times.failures), ""),
        report=report,
        users=int(times.users.max(initial=0)),
        callers_busy=times.callers_busy,
        by_protocol={name: found for name, found in by_protocol.items() if found.requests},
        intervals=_intervals(times),
        failure_counts=times.failures,
    )


def _figures(times: Times, chosen: npt.NDArray[np.bool_]) -> Figures:
    # a server that turns callers away must not seem the quicker for it
    spent = np.where(times.failed, np.inf, times.milliseconds)[chosen]
    answered = times.milliseconds[chosen & ~times.failed]
    p50, p95, p99 = (_percentile(spent, share) for share in (50, 95, 99))
    slowest = float(answered.max()) if answered.size else None
    return Figures(int(chosen.sum()), int((chosen & times.failed).sum()), p50, p95, p99, slowest)


def _percentile(milliseconds: npt.NDArray[np.float64], share: float) -> float | None:
    found = float(np.percentile(milliseconds, share, method="inverted_cdf")) if milliseconds.size else math.inf
    return found if math.isfinite(found) else None


def _intervals(times: Times) -> tuple[Interval, ...]:
    """Parts of equal length, but for the last one, of requests by their end."""
    if not times.ends.size:
        return ()
    total = float(times.ends.max())
    step = _step(total, times.ends.size / max(total, 1e-9))
    count = max(1, round(total / step))
    places = np.minimum(times.ends // step, count - 1)
    found, users = [], 0
    for place in range(count):
        chosen = places == place
        users = int(times.users[chosen].max(initial=0)) or users  # where none ended, as many as before
        seconds = total - place * step if place == count - 1 else float(step)
        parts = asdict(_figures(times, chosen))
        found.append(Interval(**parts, start_seconds=float(place * step), seconds=seconds, users=users))
    return tuple(found)


def _step(total: float, rate: float) -> int:
    """Seconds of an interval: enough for a P99 of its own, as long as there are neither too few intervals nor many."""
    wanted = min(max(FULL / rate, total / _MOST), total / _FEWEST)
    return next((step for step in _STEPS if step >= wanted), math.ceil(total / _MOST))
