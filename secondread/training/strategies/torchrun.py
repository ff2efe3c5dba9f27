"""Starts the processes of a distributed training and waits for them.

They are started on the module `worker` beside this one, never by running the caller again: inside a pipeline step that
would run the step twice.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import secondread
from secondread.atomic import read_json
from secondread.child import END_WITH_PARENT
from secondread.config.train import TrainConfig
from secondread.cpus import cpu_limit
from secondread.errors import DependencyError, StoppedError
from secondread.logging import get_logger
from secondread.training.fit import Fitted
from secondread.training.strategies.job import ERROR_FILE, Job, error_from, read_fitted

log = get_logger(__name__)

# our own log lines, plain or as ECS documents; the launcher's chatter is kept for the case of a failure
_OWN_LINE = re.compile(r'^([DIWE] secondread[\w.]*: |\{"@timestamp")')
_KEPT_LINES = 80
_TERMINATE_SECONDS = 40.0  # the launcher gives its workers 30 s to finish a step and write a checkpoint
# how the launcher tells of a worker that a signal ended; SIGTERM is its own way to end them
_KILLED = re.compile(r"exitcode\s*:\s*-(?!15\b)(\d+)")


def fit_distributed(job: Job) -> Fitted:
    """Train with the recipe's `processes` processes on this machine, gradients averaged.

    When one of them is killed, all are started again, up to `max_failures` times; they go on from the last checkpoint.

    Args:
        job: what every process is told; results go into its work folder.
    Raises:
        SecondReadError: the one that a process raised.
        DependencyError: processes were killed more often than that.
        RuntimeError: a process ended in another way; with its last lines.
    """
    config = job.train_config
    (Path(job.work) / ERROR_FILE).unlink(missing_ok=True)  # of an earlier try
    for failures in range(config.max_failures + 1):
        try:
            run_processes(job, job.write())
            break
        except KilledError as error:
            if failures == config.max_failures:
                raise DependencyError(
                    f"{error} more than {config.max_failures} times. Look for what kills it, such as a lack of memory, "
                    "and start the run again: it goes on from there."
                ) from None
            log.warning("%s. All are started again (%d of %d)", error, failures + 1, config.max_failures)
    return read_fitted(Path(job.work), processes=config.processes)


class KilledError(RuntimeError):
    """A training process was killed from outside."""


@dataclass(frozen=True)
class Meeting:
    """Where the processes of several machines find each other.

    Attributes:
        nodes: machines.
        node: this one, from 0.
        address: of the first one.
        port: that it listens on.
    """

    nodes: int
    node: int
    address: str
    port: int


def run_processes(job: Job, job_file: Path, meeting: Meeting | None = None) -> None:
    """Run this machine's processes to the end; their results lie in the job's work folder.

    Args:
        job: what every process is told.
        job_file: has it.
        meeting: of several machines; None for this one alone.
    Raises:
        SecondReadError: the one that a process raised.
        StoppedError: this process was asked to end, and the others had no time to say where they stopped.
        KilledError: a process was killed.
        RuntimeError: a process ended in another way; with its last lines.
    """
    error_file = Path(job.work) / ERROR_FILE
    code, last_lines, signal_name = _run(
        _command(job_file, job.train_config.processes, meeting), _environment(job.train_config, meeting)
    )
    if error_file.is_file():
        raise error_from(read_json(error_file))
    if code != 0 and signal_name:
        raise StoppedError(
            f"training was stopped by {signal_name} before it could write a checkpoint. The same command, run again, "
            "goes on from the last one."
        )
    if code != 0 and (killed := _KILLED.search(last_lines)):
        raise KilledError(f"a training process was killed ({signal.Signals(int(killed[1])).name})")
    if code != 0:
        raise RuntimeError(f"distributed training ended with exit code {code}:\n{last_lines}")


def _command(job_file: Path, processes: int, meeting: Meeting | None) -> list[str]:
    where = ["--standalone", "--local-addr", "127.0.0.1"]
    if meeting:
        where = ["--nnodes", str(meeting.nodes), "--node-rank", str(meeting.node)]
        where += ["--master-addr", meeting.address, "--master-port", str(meeting.port)]
    return [
        *(sys.executable, "-m", "torch.distributed.run", *where),
        *("--nproc-per-node", str(processes), "--max-restarts", "0"),
        *("-m", "secondread.training.strategies.worker", str(job_file)),
    ]


def _environment(config: TrainConfig, meeting: Meeting | None) -> dict[str, str]:
    """The caller's, with each process's part of the CPUs, and this very library first on the path."""
    library = str(Path(secondread.__file__).parents[1])
    path = os.pathsep.join(filter(None, [library, os.environ.get("PYTHONPATH", "")]))
    threads = max(1, (config.threads or cpu_limit()) // config.processes)
    # on one machine the processes meet on its loopback interface, whatever its host name resolves to
    alone = {} if meeting else {"GLOO_SOCKET_IFNAME": "lo"}
    return alone | os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)}


def _run(command: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
    """Run to the end, passing our own log lines on.

    Gives the exit code, the last other lines, and the name of the signal that asked this process to end, if any.

    When this process is asked to end, the launcher is, and the workers write a checkpoint first.
    """
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    with _listening() as asked:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*END_WITH_PARENT, *command],  # so that a killed step leaves nothing
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on
        )
        try:
            asked.pass_to(process)
            assert process.stderr is not None  # noqa: S101 - it was asked for
            for line in process.stderr:
                if _OWN_LINE.match(line):
                    sys.stderr.write(line)
                else:
                    last.append(line)
            return process.wait(), "".join(last), asked.name
        finally:
            _stop(process)


class _Asked:
    """SIGTERM and Ctrl-C that this process gets, passed on as SIGTERM once there is somebody to pass them to.

    Attributes:
        name: of the last signal; empty as long as there was none.
    """

    def __init__(self) -> None:
        self.name = ""
        self._process: subprocess.Popen[str] | None = None

    def pass_to(self, process: subprocess.Popen[str]) -> None:
        """Pass on what comes, and what came before."""
        self._process = process
        if self.name:
            process.terminate()

    def hear(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """As a handler of signals."""
        self.name = signal.Signals(number).name
        if self._process is not None:
            self._process.terminate()


@contextmanager
def _listening() -> Iterator[_Asked]:
    """Hear until the block ends; in a thread, which gets no signals, nothing is heard."""
    asked = _Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, asked.hear) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(process: subprocess.Popen[str]) -> None:
    """End the launcher if it still runs; it ends its workers when it is asked to, not when it is killed."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=_TERMINATE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stderr is not None:
        process.stderr.close()
