"""A step does not outlive the process that runs the pipeline, however that ended."""

import os
import signal
import subprocess
import sys

STEP = """
import os, sys, threading
from secondread.pipeline.orphan import end_with_runner
end_with_runner()
print("started", flush=True)
threading.Event().wait(60)
"""


def test_a_step_ends_when_its_runner_is_killed() -> None:
    runner = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait(60)"])
    environment = {**os.environ, "SECONDREAD_RUNNER_PID": str(runner.pid)}
    with subprocess.Popen([sys.executable, "-c", STEP], env=environment, stdout=subprocess.PIPE, text=True) as step:
        assert step.stdout is not None
        assert step.stdout.readline() == "started\n"
        runner.kill()
        runner.wait()
        assert step.wait(timeout=10) == -signal.SIGTERM


def test_a_step_in_a_pod_has_no_such_runner() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "SECONDREAD_RUNNER_PID"}
    script = STEP.replace("threading.Event().wait(60)", "")
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "started\n"
