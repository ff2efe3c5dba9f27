"""Workers of Ray: the same weights as DDP's processes, whoever dies meanwhile, and errors that come as one sentence."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError, InputError, StoppedError
from secondread.training.fit import Fitted
from secondread.training.strategies.job import Job
from secondread.training.strategies.strategy import fit_with_strategy

Fit = Callable[..., Fitted]

GONE_ON = re.compile(r"going on where a run was cut: epoch \d+ of 8")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Work folder of a job."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def fit(dataset: DatasetVersion, quick: Callable[..., TrainConfig], work: Path) -> Fit:
    """Train with a recipe, and give what came of it."""

    def run(**settings: object) -> Fitted:
        recipe = asdict(quick(**{"threads": 2, "processes": 2, **settings}))
        return fit_with_strategy(Job(str(dataset.root), recipe, str(work)), dataset, tracker=None)

    return run


def kill_a_worker(cluster: int, work: Path, killed: list[int]) -> None:
    """SIGKILL to one of the cluster's workers as soon as there is a checkpoint."""
    pause, deadline = threading.Event(), time.monotonic() + 120
    while not list(work.rglob("checkpoint-*.pt")):
        assert time.monotonic() < deadline
        pause.wait(0.05)
    processes = psutil.Process(cluster).children(recursive=True)
    workers = [process for process in processes if "RayTrainWorker" in process.name()]
    workers[0].kill()
    killed.append(workers[0].pid)


def test_two_workers_come_to_the_weights_of_ddp(
    fit: Fit, ray_cluster, same_as_ddp, capsys: pytest.CaptureFixture[str]
) -> None:
    same_as_ddp(fit(strategy="ray", ray_address=ray_cluster.address, epochs=2), epochs=2)
    assert "epoch 2 of 2: train loss" in capsys.readouterr().err


@pytest.mark.full
def test_a_killed_worker_is_replaced_and_nothing_is_lost(
    fit: Fit, work: Path, ray_cluster, same_as_ddp, caplog: pytest.LogCaptureFixture
) -> None:
    killed: list[int] = []
    with ThreadPoolExecutor(1) as other:
        done = other.submit(kill_a_worker, ray_cluster.pid, work, killed)
        fitted = fit(strategy="ray", ray_address=ray_cluster.address, epochs=8)
        done.result()
    assert killed
    assert GONE_ON.search(caplog.text)
    same_as_ddp(fitted, epochs=8)


_TRAINS = """
import sys
from pathlib import Path
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import StoppedError
from secondread.training.strategies.job import Job
from secondread.training.strategies.strategy import fit_with_strategy
job = Job.read(Path(sys.argv[1]))
try:
    fit_with_strategy(job, DatasetVersion.open(job.dataset), tracker=None)
except StoppedError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.full
def test_workers_of_a_run_that_is_told_to_end_write_a_checkpoint_first(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], work: Path, ray_cluster
) -> None:
    settings = {"strategy": "ray", "ray_address": ray_cluster.address, "epochs": 200, "processes": 2, "threads": 2}
    job = Job(str(dataset.root), asdict(quick(**settings)), str(work)).write()
    told = psutil.Popen([sys.executable, "-c", _TRAINS, str(job)], stdout=subprocess.PIPE, text=True)
    pause, deadline = threading.Event(), time.monotonic() + 180
    while not list(work.rglob("checkpoint-*.pt")):
        assert told.poll() is None
        assert time.monotonic() < deadline
        pause.wait(0.05)
    told.terminate()
    said = told.communicate(timeout=60)[0]
    assert told.returncode == StoppedError.exit_code == 3
    last = sorted(work.rglob("checkpoint-*.pt"))[-1].name
    epochs, step = map(int, re.findall(r"\d+", last))
    where = f"in epoch {epochs + 1} after step {step}" if step else f"after epoch {epochs}"
    assert said.startswith(f"training was stopped {where}"), said


@pytest.mark.full
def test_more_deaths_than_are_allowed_end_the_run(fit: Fit, work: Path, ray_cluster) -> None:
    killed: list[int] = []
    with ThreadPoolExecutor(1) as other:
        done = other.submit(kill_a_worker, ray_cluster.pid, work, killed)
        with pytest.raises(DependencyError, match=r"^workers of the Ray cluster died more than 0 times \(.*\.$"):
            fit(strategy="ray", ray_address=ray_cluster.address, epochs=50, max_failures=0)
        done.result()


@pytest.mark.full
def test_a_cluster_of_its_own_ends_with_the_training(fit: Fit, same_as_ddp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    before = set(psutil.Process().children(recursive=True))
    same_as_ddp(fit(strategy="ray", epochs=2), epochs=2)
    assert not psutil.wait_procs(set(psutil.Process().children(recursive=True)) - before, timeout=60)[1]


@pytest.mark.full
def test_an_error_of_the_input_comes_as_one_line(fit: Fit, ray_cluster) -> None:
    with pytest.raises(InputError, match=r"^there is no preset 'nonsense'"):
        fit(strategy="ray", ray_address=ray_cluster.address, preset="nonsense")


def test_a_cluster_that_does_not_answer_is_named(fit: Fit) -> None:
    with pytest.raises(DependencyError, match=r"the Ray cluster at 127\.0\.0\.1:9 does not answer .*strategy 'ddp'\.$"):
        fit(strategy="ray", ray_address="127.0.0.1:9")


@pytest.mark.parametrize("address", ["ray://head:10001", "http://head:8265"])
def test_an_address_of_another_kind_is_refused(fit: Fit, address: str) -> None:
    with pytest.raises(InputError, match="Name host:port or auto"):
        fit(strategy="ray", ray_address=address)
