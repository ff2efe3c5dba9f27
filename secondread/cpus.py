"""How many CPUs this process may use: the container's limit, not the host's cores.

A thread pool as large as the host, under a smaller limit, is throttled by the kernel and gets slower, so every pool
here is sized with `cpu_limit`.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")


def cpu_limit(cgroup: Path = CGROUP_ROOT) -> int:
    """CPUs that may be used, at least 1.

    Args:
        cgroup: where the control groups are mounted.
    Returns:
        The smaller of the cgroup's quota (v2 `cpu.max`, else v1 `cpu.cfs_quota_us`), rounded up, and the number of
        CPUs that the scheduler lets this process run on.
    """
    allowed = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return max(1, min(allowed, math.ceil(quota))) if quota else allowed


def _quota(cgroup: Path) -> float | None:
    """CPUs granted by the cgroup, or None where there is no limit."""
    v2 = cgroup / "cpu.max"
    if v2.is_file():
        quota, period = v2.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    v1 = cgroup / "cpu" / "cpu.cfs_quota_us"
    if v1.is_file():
        microseconds = int(v1.read_text())
        period_microseconds = int((cgroup / "cpu" / "cpu.cfs_period_us").read_text())
        return microseconds / period_microseconds if microseconds > 0 else None
    return None
