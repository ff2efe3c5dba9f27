"""What a command costs: wall time, processor time, and the memory of all its processes together at their peak."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from secondread.errors import DependencyError

_SAMPLE_SECONDS = 0.1
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True)
class Cost:
    """What it took.

    Attributes:
        seconds: of wall time.
        cpu_seconds: of all its processes, user and system.
        peak_mib: resident memory: the sum over its processes as sampled ten times a second, which counts twice what two
            of them share, or the kernel's record of the first one's peak if that is larger. `ru_maxrss` is of no use: a
            child begins with what its parent had.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float


def run_measured(command: Sequence[str], *, variables: Mapping[str, str], folder: Path) -> Cost:
    """Run a command to its end.

    Args:
        command: with its arguments.
        variables: of its environment, besides those of this process.
        folder: that it runs in.
    Raises:
        DependencyError: it failed; with its last line.
    """
    with tempfile.TemporaryFile() as output:
        start, done, peak = perf_counter(), threading.Event(), [0.0]
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | dict(variables), stdout=output, stderr=subprocess.STDOUT
        )

        def watch() -> None:
            while not done.wait(_SAMPLE_SECONDS):
                peak[0] = max(peak[0], tree_mib(process.pid), _peak_mib(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            _, status, used = os.wait4(process.pid, 0)  # unlike `wait`, it tells what this one child has used
        except BaseException:
            process.kill()
            raise
        finally:
            done.set()
            watcher.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = perf_counter() - start
        if process.returncode:
            output.seek(0)
            last = (output.read().decode(errors="replace").strip().splitlines() or ["it wrote nothing"])[-1]
            shown = " ".join(part for part in command[1:5] if "\n" not in part)
            raise DependencyError(f"'{shown} ...' ended with {process.returncode}: {last}")
    return Cost(seconds, used.ru_utime + used.ru_stime, peak[0])


def tree_mib(pid: int) -> float:
    """Resident memory of a process and of all that it started, MiB; 0 where there is no such process."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except (OSError, IndexError):  # it ended meanwhile
        return 0.0
    return pages * _PAGE_MIB + sum(tree_mib(child) for child in children)


def _peak_mib(pid: int) -> float:
    """The most resident memory that a process has had since it runs its program, MiB; 0 where there is none."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
