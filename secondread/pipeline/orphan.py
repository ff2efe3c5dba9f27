"""A step ends when the process that runs the pipeline is gone, so that a killed run leaves nothing running."""

from __future__ import annotations

import os
import select
import signal
import threading

RUNNER_VARIABLE = "SECONDREAD_RUNNER_PID"


def end_with_runner() -> None:
    """End this process when the runner that `SECONDREAD_RUNNER_PID` names ends; do nothing where it names none."""
    pid = os.environ.get(RUNNER_VARIABLE)
    if not pid:
        return
    try:
        runner = os.pidfd_open(int(pid))
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGTERM)
        return
    threading.Thread(target=_wait, args=(runner,), daemon=True, name="end-with-runner").start()


def _wait(runner: int) -> None:
    poll = select.poll()
    poll.register(runner, select.POLLIN)  # readable once that process has ended
    poll.poll()
    os.kill(os.getpid(), signal.SIGTERM)
