"""Step: from a dataset version to a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.pipeline.object_uri import object_uri
from secondread.pipeline.steps.begin import Settings, begin
from secondread.pipeline.success import recorded, verify_success, write_success


def train(dataset: str, output: str, *, dataset_uri: str, name: str, settings: Settings) -> dict[str, Any]:
    """Train a model and write its folder.

    Args:
        dataset: dataset version that preprocess wrote.
        output: folder to write.
        dataset_uri: what others reach `dataset` by, for the record.
        name: of the model.
        settings: further fields of `TrainConfig`.
    Returns:
        Figures on val, as the model's `metrics.json` has them, and `mlflow_run`.
    """
    # torch and MLflow take seconds to import, which the other steps should not pay
    from secondread.tracking.origin import Origin
    from secondread.training.train import train as run_train

    environment = begin()
    data, folder = Path(dataset), Path(output)
    with recorded("train", folder):
        verify_success(data, step="preprocess")
        version = DatasetVersion.open(data)
        config = from_mapping(TrainConfig, {"name": name, **settings})
        result = run_train(version, folder, config, tracking=_tracking(environment, version, dataset_uri, name))
        facts = {"metrics": dict(result.metrics), "mlflow_run": result.run_id, "dataset_version": version.name}
        Origin(result.run_id, artifacts=folder.name).write(folder)
        write_success(folder, step="train", inputs={"dataset": data}, facts=facts)
    return facts


def _tracking(environment: Environment, version: DatasetVersion, dataset_uri: str, name: str) -> Any:
    from secondread.tracking.datasets import TrackedDataset
    from secondread.tracking.runs import TrackingConfig

    return TrackingConfig(
        uri=environment.mlflow_tracking_uri,
        experiment=name,
        tags={"dataset_version": version.content_hash, "synthetic": str(version.synthetic).lower()},
        dataset=TrackedDataset(version, object_uri(dataset_uri)),
    )
