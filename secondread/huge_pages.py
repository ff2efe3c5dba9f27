"""Memory in pages of 2 MiB instead of 4 KiB, for processes that run a graph.

A run walks through tens of megabytes of activations, and looks up where each page lies. Kernels of Ubuntu give large
pages to whoever asks (`/sys/kernel/mm/transparent_hugepage/enabled` says `madvise`); glibc asks where its environment
says so when the process starts, and not later. Where kernels give them to all, as Debian's do, it changes nothing.
Source: the GNU C Library, "Memory Allocation Tunables", glibc.malloc.hugetlb (from 2.35 on; older ones ignore it).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

VARIABLE = "GLIBC_TUNABLES"
SETTING = "glibc.malloc.hugetlb=1"


def huge_pages(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variable that a process must be started with; what it says already is kept.

    Args:
        environment: that the process would get otherwise.
    """
    kept = [item for item in environment.get(VARIABLE, "").split(":") if item]
    name = SETTING.partition("=")[0]
    chosen = any(item.partition("=")[0] == name for item in kept)
    return {VARIABLE: ":".join(kept if chosen else [*kept, SETTING])}
