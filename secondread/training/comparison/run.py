"""One training of a comparison, in a process of its own, so that none inherits the memory of another.

python -m secondread.training.comparison.run FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondread.child import answer
from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.tracking.datasets import TrackedDataset
from secondread.tracking.runs import TrackingConfig
from secondread.training.judge import judge
from secondread.training.train import train

MODEL_FOLDER = "model"


def run(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Train, and judge the graph.

    Args:
        job: `strategy` and `seed`; `dataset` and `trained_on`, folders; `split` to judge on; `start`, a model folder or
            empty; `config`; `tags` of the run in MLflow, null where it is in none.
        folder: to write to.
    """
    dataset, trained_on = DatasetVersion.open(job["dataset"]), DatasetVersion.open(job["trained_on"])
    config = from_mapping(TrainConfig, job["config"])
    trained = train(
        trained_on,
        folder / MODEL_FOLDER,
        config,
        tracking=None if job["tags"] is None else _tracking(trained_on, config, job["tags"]),
        resume=False,  # what a killed run has done already would be missing in the time of this one
        start=Path(job["start"]) if job["start"] else None,
    )
    _, figures = judge(trained.model, dataset.split(job["split"]), threads=config.threads)
    cost = {name: trained.metrics[name] for name in ("seconds", "epochs", "best_epoch", "images_per_second")}
    cost["peak_gpu_memory_megabytes"] = trained.metrics.get("peak_gpu_memory_megabytes", 0.0)
    return {"strategy": job["strategy"], "seed": job["seed"], "metrics": figures, **cost, "run_id": trained.run_id}


def _tracking(dataset: DatasetVersion, config: TrainConfig, tags: Mapping[str, str]) -> TrackingConfig:
    """Where MLflow is, comes from the environment: an address may hold a password, and the job is a file."""
    return TrackingConfig(
        uri=Environment.read().mlflow_tracking_uri,
        experiment=config.name,
        tags={**tags, "dataset_version": dataset.content_hash},
        dataset=TrackedDataset(dataset, str(dataset.root)),
    )


def main(arguments: list[str]) -> int:
    """Do the training of the folder that the one argument names."""
    return answer(run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
