"""Where and of what something was measured: the machine in words, and the commit."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import onnxruntime

from secondread.cpus import CGROUP_ROOT, cpu_limit
from secondread.machine import this_machine

# What a run of the benchmarks writes itself does not make the code another one.
_WRITTEN = (":!benchmarks/results.json", ":!docs/benchmarks.md", ":!docs/protocols.md", ":!docs/rollout-live.md")


def machine() -> str:
    """Processor, CPUs that may be used, memory, Python and onnxruntime; nothing that names the machine."""
    known = this_machine()
    return (
        f"{known.cpu} ({', '.join(known.flags) or 'no known vector instructions'}), {cpu_limit()} CPUs, "
        f"{_memory_bytes() / 2**30:.0f} GiB, Python {platform.python_version()}, "
        f"onnxruntime {onnxruntime.__version__}"
    )


def commit(root: Path) -> str:
    """The commit, `-dirty` when a file of it was changed; `unknown` outside a checkout."""
    try:
        revision = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *_WRITTEN)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{revision}-dirty" if changed else revision


def _memory_bytes() -> int:
    """The container's limit, or what the machine has."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = CGROUP_ROOT / "memory.max"
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(physical, int(text)) if text.isdecimal() else physical


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()
