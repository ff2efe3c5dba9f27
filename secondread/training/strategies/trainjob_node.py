"""What runs on each node of a TrainJob: it starts the node's processes, and leaves what they say in the work folder.

    python -m secondread.training.strategies.trainjob_node JOB_FILE [PID]

Kubeflow's torch runtime says in variables where the nodes meet. Its own choice of the number of processes is not
taken: on CPUs it would be one for each. PID is of whoever submitted the job on this very machine: with it, this ends.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from secondread.config.environment import Environment
from secondread.errors import SecondReadError
from secondread.logging import configure
from secondread.training.preflight import check_machine
from secondread.training.strategies.job import Job, leave_error
from secondread.training.strategies.torchrun import Meeting, run_processes

LOG_FILE = "node-0.log"
PID_FILE = "node-0.pid"


def main(arguments: list[str]) -> int:
    """Run this node's part of the job; the exit code is that of the error, if any."""
    job_file = Path(arguments[0])
    job, meeting = Job.read(job_file), meeting_of(os.environ)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # which ends the processes first
    if arguments[1:]:
        _end_with(int(arguments[1]))
    if meeting is not None and meeting.node > 0:
        return _run(job, job_file, meeting)
    (job_file.parent / PID_FILE).write_text(str(os.getpid()), encoding="utf-8")
    with (
        (job_file.parent / LOG_FILE).open("w", buffering=1, encoding="utf-8") as log,
        redirect_stderr(_Both(sys.stderr, log)),  # type: ignore[type-var]
    ):
        return _run(job, job_file, meeting)


def _run(job: Job, job_file: Path, meeting: Meeting | None) -> int:
    configure(as_json=Environment.read().log_json)
    try:
        check_machine(replace(job.train_config, strategy="ddp", nodes=1))  # which is what trains on this machine
        run_processes(job, job_file, meeting)
    except SecondReadError as error:
        # whoever submitted the job finds it in the work folder
        leave_error(error, Path(job.work))
        print(error, file=sys.__stderr__)
        return error.exit_code
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return SecondReadError.exit_code
    return 0


def meeting_of(variables: Mapping[str, str]) -> Meeting | None:
    """Where the nodes meet, from the variables that Kubeflow's torch runtime sets; None for a single node."""
    nodes = int(variables.get("PET_NNODES", "1"))
    if nodes == 1:
        return None
    return Meeting(
        nodes=nodes,
        node=int(variables["PET_NODE_RANK"]),
        address=variables["PET_MASTER_ADDR"],
        port=int(variables["PET_MASTER_PORT"]),
    )


def _end_with(pid: int) -> None:
    """Ask this process to end when another one does, however it does."""
    watched = os.pidfd_open(pid)

    def wait() -> None:
        select.select([watched], [], [])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


class _Both:
    """Writes into the pod's log and into a file."""

    def __init__(self, *files: TextIO) -> None:
        self._files = files

    def write(self, text: str) -> None:
        """Write to both."""
        for file in self._files:
            file.write(text)

    def flush(self) -> None:
        """Flush both."""
        for file in self._files:
            file.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
