"""Runs a server and takes it down with whoever started it, however that one ends.

    python -I -S triton_guard.py SECONDS SHARED_MEMORY_PREFIX COMMAND [ARGUMENT...]

The parent holds the other end of standard input. When it closes that end, or dies (even by SIGKILL, when nobody could
clean up), the server gets SIGTERM and, SECONDS later, its process group gets SIGKILL. Should the guard itself be
killed, the kernel sends the server SIGTERM. The exit code is the server's own; 0 when it was stopped on purpose.

A script of its own, standard library only: it starts in a few milliseconds and holds no memory worth naming.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_POLL_SECONDS = 0.2  # between two looks at the parent and the server


def main(arguments: list[str]) -> int:
    """Run the command until it ends or the parent is gone.

    Args:
        arguments: seconds to stop in, prefix of the server's files in /dev/shm, and the command.
    Returns:
        Exit code.
    """
    patience_seconds, prefix, command = float(arguments[0]), arguments[1], arguments[2:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole terminal; the parent decides when to stop
    parent = os.getppid()
    server = subprocess.Popen(  # noqa: S603 - the command that this program is for
        command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_die_with_guard
    )
    asked = False
    try:
        while server.poll() is None and not asked:
            asked = bool(select.select([sys.stdin], [], [], _POLL_SECONDS)[0]) or os.getppid() != parent
        if asked:
            _stop(server, patience_seconds)
    finally:
        _kill_group(server.pid)
        server.wait()
        _remove_shared_memory(prefix)
    return 0 if asked else server.returncode


def _die_with_guard() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(server: subprocess.Popen[bytes], patience_seconds: float) -> None:
    server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(patience_seconds)


def _kill_group(group: int) -> None:
    """The server's own group: itself, if it hangs, and the backend processes it may have left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _remove_shared_memory(prefix: str) -> None:
    """What a killed server leaves in memory."""
    if prefix:
        for path in Path("/dev/shm").glob(f"{prefix}*"):  # noqa: S108 - POSIX shared memory has no other place
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
