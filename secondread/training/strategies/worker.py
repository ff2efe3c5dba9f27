"""One process of a distributed training; `torch.distributed.run` starts it, several times.

    python -m torch.distributed.run --nproc-per-node 2 -m secondread.training.strategies.worker JOB_FILE

Rank zero alone notes its epochs for the tracker and saves the weights. An error of the input is left as `error.json`
for whoever started the processes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from secondread.atomic import room_in
from secondread.config.environment import Environment
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import SecondReadError
from secondread.logging import configure
from secondread.training.batches import Share
from secondread.training.fit import fit
from secondread.training.strategies.job import Job, leave_error, write_fitted
from secondread.training.tracked import join_tracker
from secondread.training.trainer import TrainerParts


def run(job: Job, share: Share, parts: TrainerParts | None = None) -> None:
    """Train, and leave the result in the job's work folder.

    Args:
        job: what every process is told.
        share: this process's part.
        parts: what the strategy gives Lightning; None: as under `torch.distributed.run`.
    Raises:
        SecondReadError: as `fit` does.
        DependencyError: the disk that the work folder lies on is full.
    """
    dataset, config, work = DatasetVersion.open(job.dataset), job.train_config, Path(job.work)
    with room_in(Path(config.storage) if config.storage else work):
        with join_tracker(work, tracked=job.tracked and share.rank == 0) as tracker:
            start = job.start_weights()
            fitted = fit(dataset, config, share=share, tracker=tracker, work=work, parts=parts, start=start)
        write_fitted(fitted, work, rank=share.rank)


def main(arguments: list[str]) -> int:
    """Run the job that the one argument names; the exit code is that of the error, if any."""
    configure(as_json=Environment.read().log_json)
    job = Job.read(Path(arguments[0]))
    share = Share(rank=int(os.environ["RANK"]), processes=int(os.environ["WORLD_SIZE"]))
    try:
        run(job, share)
    except SecondReadError as error:
        leave_error(error, Path(job.work))
        return error.exit_code
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
