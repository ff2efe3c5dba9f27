"""Figures of a load test from the requests' times, and the gate."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from secondread.config.loadtest import LoadTestConfig
from secondread.errors import GateRefused
from secondread.serving.load.result import LoadTestResult, summarise
from secondread.serving.load.times import Times

GOOD = LoadTestResult(1000, 9, 10.0, 20.0, 299.9, 400.0, 50.0, "503", "report.html")
LIMITS = LoadTestConfig()


def times(*, rate: int, seconds: int, slow_from: float = 1e9, fail_from: float = 1e9, idle: range = range(0)) -> Times:
    """So many requests a second that take 10 ms, later 1000 ms, and fail from some second on."""
    ends = (np.arange(rate * seconds) + 0.5) / rate
    ends = ends[~np.isin(ends.astype(int), list(idle))]
    failed = ends > fail_from
    return Times(
        ends=ends,
        milliseconds=np.where(ends > slow_from, 1000.0, 10.0),
        protocols=(np.arange(ends.size) % 2).astype(np.uint8),
        users=np.where(ends > seconds / 2, 8, 4),
        failed=failed,
        failures={"503": int(failed.sum())} if failed.any() else {},
        callers_busy=False,
    )


def test_percentiles_are_by_nearest_rank_and_whoever_was_turned_away_waited_longest() -> None:
    """Failures are quick; left out, or as they are, they would make a server that turns callers away the better one."""
    spread = replace(times(rate=100, seconds=10), milliseconds=np.arange(1.0, 1001.0), failed=np.arange(1000) < 30)
    found = summarise(spread, report="page.html")
    assert (found.requests, found.failures) == (1000, 30)
    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.slowest_ms) == (530, 980, None, 1000)
    assert found.rate_per_second == pytest.approx(97, rel=1e-3)  # of answers
    (line,) = (line for line in found.gate(replace(LIMITS, failures_below=0.05)).lines if not line.passed)
    assert line.reason == "P99 is not known, since one request in 100 or more had no answer, and below 300 ms asked"
    assert {name: each.requests for name, each in found.by_protocol.items()} == {"REST": 500, "gRPC": 500}
    json.dumps(found.to_json(), allow_nan=False)


def test_over_time_it_shows_when_a_server_became_slow_and_when_it_failed() -> None:
    found = summarise(times(rate=100, seconds=20, slow_from=12, fail_from=16), report="")
    assert [part.start_seconds for part in found.intervals] == list(range(20))
    assert [part.p99_ms for part in found.intervals] == [10] * 12 + [1000] * 4 + [None] * 4
    assert [part.failures for part in found.intervals] == [0] * 16 + [100] * 4
    assert [part.users for part in found.intervals] == [4] * 10 + [8] * 10
    assert sum(part.requests for part in found.intervals) == found.requests


def test_a_part_in_which_nothing_ended_is_a_gap_with_the_callers_that_wait() -> None:
    found = summarise(times(rate=200, seconds=20, idle=range(4, 7)), report="")
    gap = found.intervals[4:7]
    assert [(part.requests, part.p50_ms, part.p99_ms, part.users) for part in gap] == [(0, None, None, 4)] * 3


@pytest.mark.parametrize(
    ("rate", "seconds", "step", "count"),
    [
        (100, 20, 1, 20),  # a second holds enough for a P99
        (10, 20, 2, 10),  # none does: not too few parts
        (50, 60, 2, 30),
        (500, 1800, 30, 60),  # not more than can be seen
        (500, 3, 1, 3),
    ],
)
def test_parts_hold_enough_requests_and_are_neither_too_few_nor_too_many(
    rate: int, seconds: int, step: int, count: int
) -> None:
    parts = summarise(times(rate=rate, seconds=seconds), report="").intervals
    assert (parts[0].seconds, len(parts)) == (step, count)


def test_stragglers_make_no_part_of_their_own() -> None:
    late = times(rate=200, seconds=20)
    found = summarise(replace(late, ends=np.append(late.ends[:-1], 20.3)), report="")
    assert len(found.intervals) == 20
    assert found.intervals[-1].seconds == pytest.approx(1.3)


def test_the_gate_lets_pass_just_below_its_limits() -> None:
    assert GOOD.gate(LIMITS).passed
    assert {line.name for line in GOOD.gate(LIMITS).lines} == {"requests_at_least", "failures_below", "p99_below_ms"}
    GOOD.check(LIMITS)


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (replace(GOOD, p99_ms=300.0), r"P99 300\.00 ms is not below 300 ms"),
        (replace(GOOD, failures=10, first_failure="503"), r"1\.00% of 1000 .*not below 1\.00% \(first: 503\)"),
        (replace(GOOD, requests=299, failures=0), "299 requests are too few to tell, at least 300 asked"),
        (replace(GOOD, p99_ms=None), "P99 is not known, since one request in 100 or more had no answer"),
    ],
)
def test_the_gate_refuses_at_its_limits_and_says_which(result: LoadTestResult, says: str) -> None:
    assert len(result.gate(LIMITS).tripped) == 1
    with pytest.raises(GateRefused, match=f"^load test: {says}[^;]*$") as caught:
        result.check(LIMITS)
    assert caught.value.exit_code == 4


def test_no_requests_at_all_is_no_on_every_line() -> None:
    empty = replace(times(rate=1, seconds=1), **{name: np.zeros(0) for name in ("ends", "milliseconds")})
    empty = replace(empty, **{name: np.zeros(0, int) for name in ("protocols", "users")}, failed=np.zeros(0, bool))
    found = summarise(empty, report="")
    assert found.gate(LIMITS).tripped == ("requests_at_least", "failures_below", "p99_below_ms")
    assert found.intervals == ()
    json.dumps(found.to_json(), allow_nan=False)


def test_as_few_requests_as_are_asked_would_show_a_p99_at_its_limit_nineteen_times_in_twenty() -> None:
    assert 0.99**LIMITS.requests_at_least < 0.05 < 0.99 ** (LIMITS.requests_at_least - 2)


def test_people_are_told_where_the_callers_were_too_slow_themselves() -> None:
    assert "not enough processor" in replace(GOOD, callers_busy=True).table()
    assert "not enough processor" not in GOOD.table()
