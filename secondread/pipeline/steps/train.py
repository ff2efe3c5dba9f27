"""Step: from a dataset version to a model folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from secondread.atomic import atomic_folder
from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.config.train import TrainConfig
from secondread.data.versions.copy import copy_version
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
from secondread.model.folder import CONFIG_FILE, ModelFolder
from secondread.pipeline.object_uri import object_uri
from secondread.pipeline.placement import Placement
from secondread.pipeline.steps.begin import Settings, begin
from secondread.pipeline.steps.dataset import verify_dataset
from secondread.pipeline.success import recorded, verify_success, write_success


def train(
    dataset: str,
    output: str,
    *,
    dataset_uri: str,
    name: str,
    settings: Settings,
    placement: Placement = Placement(),  # noqa: B008 - frozen
    start: str = "",
) -> dict[str, Any]:
    """Train a model and write its folder.

    Args:
        dataset: dataset version that preprocess wrote.
        output: folder to write.
        dataset_uri: what others reach `dataset` by, for the record.
        name: of the model.
        settings: further fields of `TrainConfig`. With `start`, the preset is by default the one that it is of.
        placement: who trains and on what.
        start: model folder whose weights to begin with, that step `champion` wrote; empty for random ones.
    Returns:
        Figures on val, as the model's `metrics.json` has them, and `mlflow_run`.
    """
    # torch and MLflow take seconds to import, which the other steps should not pay
    from secondread.tracking.origin import Origin
    from secondread.training.train import train as run_train

    environment = begin()
    data, folder = Path(dataset), Path(output)
    with recorded("train", folder):
        verify_dataset(data)
        version = DatasetVersion.open(data)
        chosen = {"name": name, **placement.settings(settings)}
        if start:
            verify_success(Path(start), step="champion")
            chosen = {"preset": _preset_of(Path(start)), **chosen}
        config = from_mapping(TrainConfig, chosen)
        begun_with = Path(start) if start else None
        if placement.elsewhere and config.storage:
            version, begun_with = _where_others_see_it(version, begun_with, Path(config.storage))
        result = run_train(
            version,
            folder,
            config,
            tracking=_tracking(environment, version, dataset_uri, name),
            start=begun_with,
        )
        facts = {"metrics": dict(result.metrics), "mlflow_run": result.run_id, "dataset_version": version.name}
        Origin(result.run_id, artifacts=folder.name).write(folder)
        inputs = {"dataset": data, **({"start": Path(start)} if start else {})}
        write_success(folder, step="train", inputs=inputs, facts=facts)
    return facts


def _where_others_see_it(
    version: DatasetVersion, start: Path | None, storage: Path
) -> tuple[DatasetVersion, Path | None]:
    """Copies on the volume that the training's nodes mount too: a step's inputs are in its own pod alone."""
    folder = storage / "datasets" / version.content_hash
    if not (folder / DATASET_FILE).is_file():
        copy_version(version, folder)
    if start is None:
        return DatasetVersion.open(folder), None
    model = storage / "models" / ModelFolder.open(start).digest()
    if not (model / CONFIG_FILE).is_file():
        with atomic_folder(model, marker=CONFIG_FILE, inputs=[start]) as aside:
            shutil.copytree(start, aside, dirs_exist_ok=True)
    return DatasetVersion.open(folder), model


def _preset_of(start: Path) -> str:
    """The preset that a model is of; the default one if it is of none, which the training then says."""
    from secondread.model.vit import PRESETS, ViTConfig, preset_for

    theirs = ViTConfig.from_dict(ModelFolder.open(start).config.architecture)
    # drop-out and stochastic depth are of the training, and not of the network that it leaves
    theirs = replace(theirs, dropout=0.0, drop_path=0.0)
    # first the one for the size: two presets may be one network at different sizes
    for name in (preset_for(theirs.image_size), *PRESETS):
        fitted = PRESETS[name].fit_to(image_size=theirs.image_size, classes=theirs.classes)
        if replace(fitted, dropout=0.0, drop_path=0.0) == theirs:
            return name
    return TrainConfig.preset


def _tracking(environment: Environment, version: DatasetVersion, dataset_uri: str, name: str) -> Any:
    from secondread.pipeline.tags import run_tags
    from secondread.tracking.datasets import TrackedDataset
    from secondread.tracking.runs import TrackingConfig

    return TrackingConfig(
        uri=environment.mlflow_tracking_uri,
        experiment=name,
        tags=run_tags(version, environment),
        dataset=TrackedDataset(version, object_uri(dataset_uri)),
    )
