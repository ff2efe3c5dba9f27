"""A TrainJob: its nodes' results and errors come back through the work folder, here and from a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

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
