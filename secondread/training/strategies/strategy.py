"""Which strategy trains: the one place that knows them all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from secondread.data.versions.dataset import DatasetVersion
from secondread.training.batches import Share
from secondread.training.fit import Fitted, fit
from secondread.training.preflight import check_machine
from secondread.training.strategies.job import Job

if TYPE_CHECKING:
    # only a protocol is needed, and MLflow is no dependency of training
    from secondread.tracking.runs import RunTracker


def fit_with_strategy(job: Job, dataset: DatasetVersion, *, tracker: RunTracker | None) -> Fitted:
    """Train as the job's recipe says: in this process, or in others that are started for it.

    Args:
        job: what every process is told.
        dataset: the job's, opened.
        tracker: of the job's run; None where nothing is tracked.
    Raises:
        DependencyError: this machine lacks what the recipe asks for.
        SecondReadError: the one that a process raised.
    """
    config = job.train_config
    check_machine(config)
    if config.strategy in ("ddp", "fsdp"):
        from secondread.training.strategies.torchrun import fit_distributed

        return fit_distributed(job)
    if config.strategy == "ray":
        from secondread.training.strategies.ray_train import fit_with_ray

        return fit_with_ray(job)
    if config.strategy == "trainjob":
        from secondread.training.strategies.trainjob import fit_with_trainjob

        return fit_with_trainjob(job)
    return fit(dataset, config, share=Share(), tracker=tracker, work=Path(job.work), start=job.start_weights())
