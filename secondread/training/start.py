"""Weights to begin a training with: those of a model, or of a network that was pre-trained without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import InputError
from secondread.model.folder import WEIGHTS_FILE, ModelFolder
from secondread.model.vit import ViTConfig
from secondread.training.fit import architecture_for, preset_name
from secondread.training.pretraining.folder import PRETRAINED_FILE, read_pretrained


def start_weights(start: Path | None, dataset: DatasetVersion, config: TrainConfig) -> str:
    """File with the weights to begin with; empty for random ones.

    Args:
        start: model folder, or a folder that `train pretrain` wrote, which has all weights but the head's.
        dataset: that will be trained on.
        config: recipe.
    Raises:
        InputError: a model of other classes, or weights of another architecture.
        IntegrityError: `start` is neither, or is damaged.
    """
    if start is None:
        return ""
    if (start / PRETRAINED_FILE).is_file():
        theirs = ViTConfig.from_dict(read_pretrained(start).document["architecture"])
    else:
        theirs = _of_model(start, dataset)
    ours = architecture_for(dataset, config)
    if _shape(theirs) != _shape(ours):
        raise InputError(
            f"the weights in {start} are not of preset {preset_name(dataset, config)} for images of "
            f"{dataset.image_size} pixels. Choose the preset that they were trained with, and a dataset of the same "
            "image size."
        )
    return str((start / WEIGHTS_FILE).resolve())


def learned_from(start: Path) -> str:
    """Name of the dataset version that a model or a pre-training learned from.

    Raises:
        IntegrityError: `start` is neither, or is damaged.
    """
    if (start / PRETRAINED_FILE).is_file():
        return str(read_pretrained(start).document["dataset_version"])
    return ModelFolder.open(start).config.dataset_version


def _of_model(start: Path, dataset: DatasetVersion) -> ViTConfig:
    model = ModelFolder.open(start)
    theirs, ours = model.config.taxonomy.names, dataset.taxonomy.names
    if theirs != ours:
        raise InputError(
            f"the model in {start} tells {', '.join(theirs)} apart, the dataset {dataset.root} has {', '.join(ours)}. "
            "Start from a model of the same classes."
        )
    return ViTConfig.from_dict(model.config.architecture)


def _shape(architecture: ViTConfig) -> ViTConfig:
    """What decides the shapes of the weights; the head is of the dataset's classes."""
    return replace(architecture, dropout=0.0, drop_path=0.0, classes=1)
