"""The search for the highest load that a server bears, on servers that are known, and on a real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from secondread.config.loadtest import LoadTestConfig
from secondread.errors import GateRefused
from secondread.serving.load import limit as load_limit
from secondread.serving.load.limit import MOST_CALLERS, LoadLimit, find_limit
from secondread.serving.load.result import LoadTestResult


def server(capacity: int, *, rate: float = 100.0, fails_above: int = 10**6) -> Any:
    """Answers `rate` a second at most; each caller beyond `capacity` makes all wait; beyond another number it fails."""

    def run(config: LoadTestConfig, **rest: Any) -> LoadTestResult:
        callers = config.users
        assert (config.shape, config.think_seconds) == ("constant", 0)
        p99 = 20.0 if callers <= capacity else 20.0 + 300.0 * (callers - capacity)
        failures = 0 if callers <= fails_above else 100
        reached, told = min(rate, 10.0 * callers), "503" if failures else ""
        return LoadTestResult(1000, failures, 10.0, 15.0, p99, p99, reached, told, str(rest["report"]))

    return run


def search(run: Any, tmp_path: Path, **config: Any) -> LoadLimit:
    return find_limit(LoadTestConfig(**config), report=tmp_path / "report.html", run=run)


@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 8, 13, 64, 100])
def test_the_limit_is_found_to_an_eighth(tmp_path: Path, capacity: int) -> None:
    found = search(server(capacity, rate=10_000), tmp_path, users=1)
    assert found.best is not None
    assert found.best <= capacity <= found.best + max(1, found.best // 8)
    assert len(found.steps) < 16


def test_the_highest_rate_counts_not_the_most_callers(tmp_path: Path) -> None:
    """Where more callers only wait longer, the first that came to the rate is as good."""
    found = search(server(64, rate=100), tmp_path, users=4)
    assert found.best == 16
    assert found.to_json()["limit_per_second"] == 100


def test_failures_are_a_limit_as_well(tmp_path: Path) -> None:
    found = search(server(10**6, rate=10_000, fails_above=32), tmp_path, users=4)
    assert found.best == 32


def test_a_server_without_a_limit_ends_the_search(tmp_path: Path) -> None:
    found = search(server(10**6), tmp_path, users=4)
    assert max(found.steps) == MOST_CALLERS


def test_a_server_that_bears_nothing_is_refused(tmp_path: Path) -> None:
    found = search(server(0), tmp_path, users=4, p99_below_ms=15)
    assert found.best is None
    assert found.to_json()["limit_per_second"] is None
    with pytest.raises(GateRefused, match=r"P99 1220\.00 ms is not below 15 ms"):
        found.check(LoadTestConfig(p99_below_ms=15))


def test_a_limit_found_from_few_requests_is_refused(tmp_path: Path) -> None:
    """Steps as short as that say which load to test for longer, and no more."""
    found = search(server(64, rate=100), tmp_path, users=4)
    with pytest.raises(GateRefused, match="1000 requests are too few to tell"):
        found.check(LoadTestConfig(requests_at_least=2000))


def test_people_see_every_step(tmp_path: Path) -> None:
    lines = search(server(6), tmp_path, users=4).table().splitlines()
    assert lines[0].split() == ["callers", "answers/s", "P50", "ms", "P99", "ms", "failed"]
    assert [line.split()[0] for line in lines[1:-1]] == ["4", "6", "7", "8"]
    assert lines[-2].endswith("too much")
    assert lines[-1].startswith("the limit is ")


def test_a_real_server_has_one(served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_limit, "MOST_CALLERS", 16)
    config = LoadTestConfig(
        url=served.url, grpc_url=served.grpc_url, users=8, seconds=2.0, p99_below_ms=30_000, requests_at_least=1
    )
    found = find_limit(config, report=tmp_path / "report.html")
    assert found.best in (8, 16)
    assert found.steps[found.best].requests > 0
    json.dumps(found.to_json())
    found.check(config)
    assert (tmp_path / f"report-{found.best}.html").is_file()
