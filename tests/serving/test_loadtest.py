"""The load test on a real server, and its verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secondread.config.loadtest import LoadTestConfig
from secondread.errors import DependencyError, GateRefused, InputError
from secondread.serving.loadtest import LoadTestResult, loadtest

GOOD = LoadTestResult(1000, 10, 10.0, 20.0, 299.9, 50.0, "503", "report.html")
LIMITS = LoadTestConfig()


def test_a_server_under_load(served: Any, shared_data: Path, tmp_path: Path) -> None:
    config = LoadTestConfig(url=served.url, grpc_url=served.grpc_url, users=2, seconds=2, p99_below_ms=60_000)
    report = tmp_path / "sub" / "report.html"
    result = loadtest(config, images=shared_data / "oct-samples", report=report)
    result.check(config)
    assert result.requests >= 1
    assert result.failures == 0
    assert result.p50_ms is not None
    assert result.p95_ms is not None
    assert result.p99_ms is not None
    assert 0 < result.p50_ms <= result.p95_ms <= result.p99_ms
    page = report.read_text()
    assert "gRPC" in page
    assert "POST" in page
    assert f"p99 {result.p99_ms:.1f} ms" in result.table()
    with pytest.raises(GateRefused, match=r"not below 0\.001 ms"):
        result.check(replace(config, p99_below_ms=0.001))


def test_failures_are_counted_and_refused(served: Any, tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    config = LoadTestConfig(url=served.url, grpc_url="", users=1, seconds=1)
    result = loadtest(config, images=tmp_path, report=tmp_path / "report.html")
    assert result.failures == result.requests > 0
    assert result.p99_ms is None
    with pytest.raises(GateRefused, match=r"100\.00% of \d+ requests failed.*image 0"):
        result.check(config)


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (replace(GOOD, p99_ms=300.0), "P99 is 300.0 ms"),
        (replace(GOOD, failures=11), "1.10% of 1000 requests failed"),
        (LoadTestResult(0, 0, None, None, None, 0.0, "", "report.html"), "no request at all"),
    ],
)
def test_the_gate_refuses(result: LoadTestResult, says: str) -> None:
    with pytest.raises(GateRefused, match=says) as caught:
        result.check(LIMITS)
    assert caught.value.exit_code == 4


def test_the_gate_lets_pass_just_below_its_limits() -> None:
    GOOD.check(LIMITS)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match=r"no server answers at http://127\.0\.0\.1:1"):
        loadtest(LoadTestConfig(url="http://127.0.0.1:1"), report=tmp_path / "report.html")


def test_no_image(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image"):
        loadtest(LIMITS, images=tmp_path, report=tmp_path / "report.html")
