"""The container's CPU limit, from control groups of both versions."""

import os
from pathlib import Path

import pytest

from secondread.cpus import cpu_limit

ALLOWED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("max 100000", ALLOWED), ("50000 100000", 1), ("100000 100000", 1), ("150000 100000", min(2, ALLOWED))],
)
def test_version_2(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert cpu_limit(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1", ALLOWED), ("20000", 1)])
def test_version_1(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert cpu_limit(tmp_path) == cpus


def test_no_control_group_means_what_the_scheduler_allows(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path) == ALLOWED
