"""A TrainJob: its nodes' results and errors come back through the work folder, here and from a cluster."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from secondread.config.train import TrainConfig
from secondread.config.trainjob import TrainJobSettings
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import InputError
from secondread.training.strategies.job import Job
from secondread.training.strategies.strategy import fit_with_strategy
from secondread.training.strategies.trainjob import fit_with_trainjob

HERE = TrainJobSettings(backend="local")

MakeJob = Callable[..., Job]


@pytest.fixture
def job(dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path: Path) -> MakeJob:
    """Make a job of two processes: `job("name of its folder", preset=...)`."""

    def make(name: str, **settings: object) -> Job:
        (tmp_path / name).mkdir()
        recipe = quick(**{"strategy": "trainjob", "processes": 2, "threads": 2, **settings})
        return Job(str(dataset.root), asdict(recipe), str(tmp_path / name))

    return make


def test_two_processes_of_a_job_on_this_machine_come_to_the_weights_of_ddp(
    job: MakeJob,
    dataset: DatasetVersion,
    same_as_ddp: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECONDREAD_TRAINJOB_BACKEND", "local")
    folder = Path.cwd()
    same_as_ddp(fit_with_strategy(job("trainjob", epochs=2), dataset, tracker=None), epochs=2)
    assert Path.cwd() == folder
    assert "epoch 2 of 2: train loss" in capsys.readouterr().err


@pytest.mark.full
def test_an_error_of_a_process_comes_as_one_line(job: MakeJob) -> None:
    with pytest.raises(InputError, match=r"^there is no preset 'nonsense'\. Choose one of .*\.$"):
        fit_with_trainjob(job("job", preset="nonsense"), HERE)


_WAITS = """
import sys
from pathlib import Path
from secondread.config.trainjob import TrainJobSettings
from secondread.errors import StoppedError
from secondread.training.strategies.job import Job
from secondread.training.strategies.trainjob import fit_with_trainjob
try:
    fit_with_trainjob(Job.read(Path(sys.argv[1])), TrainJobSettings(backend="local"))
except StoppedError as error:
    print(error)
"""


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_whoever_waits_for_the_job(number: signal.Signals, job: MakeJob) -> None:
    job_file = job("job", epochs=200).write()
    waiting = psutil.Popen([sys.executable, "-c", _WAITS, str(job_file)], stdout=subprocess.PIPE, text=True)
    pause, deadline = threading.Event(), time.monotonic() + 120
    while not list(job_file.parent.rglob("checkpoint-*.pt")):
        assert waiting.poll() is None
        assert time.monotonic() < deadline
        pause.wait(0.05)
    started = waiting.children(recursive=True)
    assert len(started) > 3
    waiting.send_signal(number)
    said = waiting.communicate(timeout=60)[0]
    assert said.startswith("training was stopped by SIGTERM" if number == signal.SIGTERM else "")
    assert not psutil.wait_procs(started, timeout=60)[1]
