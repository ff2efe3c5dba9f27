"""Workers of Ray: the same weights as DDP's processes, whoever dies meanwhile, and errors that come as one sentence."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
import torch

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError, InputError
from secondread.training.fit import Fitted
from secondread.training.strategies.job import Job
from secondread.training.strategies.strategy import fit_with_strategy

Fit = Callable[..., Fitted]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Work folder of a job."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def fit(dataset: DatasetVersion, quick: Callable[..., TrainConfig], work: Path) -> Fit:
    """Train with a recipe, and give what came of it."""

    def run(**settings: object) -> Fitted:
        recipe = asdict(quick(**{"epochs": 8, "threads": 2, "processes": 2, **settings}))
        return fit_with_strategy(Job(str(dataset.root), recipe, str(work)), dataset, tracker=None)

    return run


def kill_a_worker(work: Path, killed: list[int]) -> None:
    """SIGKILL to one of Ray's workers as soon as there is a checkpoint."""
    pause, deadline = threading.Event(), time.monotonic() + 120
    while not list(work.rglob("checkpoint-*.pt")):
        assert time.monotonic() < deadline
        pause.wait(0.05)
    workers = [process for process in psutil.process_iter(["name"]) if "RayTrainWorker" in process.info["name"]]
    workers[0].kill()
    killed.append(workers[0].pid)


def test_a_killed_worker_is_replaced_and_the_weights_are_those_of_ddp(fit: Fit, work: Path, ray_cluster) -> None:
    killed: list[int] = []
    with ThreadPoolExecutor(1) as other:
        done = other.submit(kill_a_worker, work, killed)
        ray = fit(strategy="ray", ray_address=ray_cluster.address)
        done.result()
    assert killed
    shutil.rmtree(work)
    work.mkdir()
    ddp = fit(strategy="ddp")
    assert [figures.val_loss for figures in ray.epochs] == [figures.val_loss for figures in ddp.epochs]
    assert ray.state.keys() == ddp.state.keys()
    assert all(torch.equal(ray.state[name], ddp.state[name]) for name in ddp.state)


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
