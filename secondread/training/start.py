"""Weights to begin a training with: those of a model, or of a network that was pre-trained without labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from secondread.config.train import TrainConfig
from secondread.data.pixels.preprocess import Preprocessing
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import InputError, IntegrityError
from secondread.logging import get_logger
from secondread.model.folder import WEIGHTS_FILE, ModelFolder
from secondread.model.vit import ViT, ViTConfig
from secondread.training.fit import architecture_for, preset_name
from secondread.training.pretraining.folder import PRETRAINED_FILE, read_pretrained

log = get_logger(__name__)


@dataclass(frozen=True)
class Start:
    """What a training begins with instead of random weights.

    Attributes:
        weights: file with them.
        dataset_version: content hash of the version that they were learned from.
        labelled: learned with labels, so a model; otherwise a pre-training.
    """

    weights: str
    dataset_version: str
    labelled: bool

    def may_have_seen(self, dataset: DatasetVersion) -> bool:
        """Whether these could be weights of a model that learned from images which the version holds out.

        A version hands its splits down to its children, so that the parent's model has not; of any other version
        nothing is known here.
        """
        return self.labelled and self.dataset_version not in (dataset.content_hash, dataset.parent)


def open_start(folder: Path | None, dataset: DatasetVersion, config: TrainConfig) -> Start | None:
    """The weights to begin with; None for random ones.

    Those of images that were preprocessed otherwise are taken, with a warning: most of what they know holds.

    Args:
        folder: of a model, or one that `train pretrain` wrote, which has all weights but the head's.
        dataset: that will be trained on.
        config: recipe.
    Raises:
        InputError: a model of other classes, or weights of another architecture.
        IntegrityError: `folder` is neither, or is damaged, or its weights are not those of the network that it names.
    """
    if folder is None:
        return None
    labelled = not (folder / PRETRAINED_FILE).is_file()
    if labelled:
        model = _model(folder, dataset).config
        theirs, version, seen = model.architecture, model.dataset_version, model.preprocessing
    else:
        document = read_pretrained(folder).document
        theirs, version = document["architecture"], document["dataset_version"]
        seen = Preprocessing.from_dict(document["preprocessing"])
    architecture = ViTConfig.from_dict(theirs)
    _check_weights(folder / WEIGHTS_FILE, architecture, labelled=labelled)
    if _shape(architecture) != _shape(architecture_for(dataset, config)):
        raise InputError(
            f"the weights in {folder} are not of preset {preset_name(dataset, config)} for images of "
            f"{dataset.image_size} pixels. Choose the preset that they were trained with, and a dataset of the same "
            "image size."
        )
    if seen != dataset.preprocessing:
        log.warning(
            "the weights in %s learned from images of %s, and those of %s are of %s: they are begun with, but know "
            "images that look otherwise",
            *(folder, seen, dataset.root, dataset.preprocessing),
        )
    return Start(str((folder / WEIGHTS_FILE).resolve()), str(version), labelled=labelled)


def _model(folder: Path, dataset: DatasetVersion) -> ModelFolder:
    model = ModelFolder.open(folder)
    theirs, ours = model.config.taxonomy.names, dataset.taxonomy.names
    if theirs != ours:
        raise InputError(
            f"the model in {folder} tells {', '.join(theirs)} apart, the dataset {dataset.root} has {', '.join(ours)}. "
            "Start from a model of the same classes."
        )
    return model


def _check_weights(path: Path, architecture: ViTConfig, *, labelled: bool) -> None:
    """Compare names and shapes, which are at the beginning of the file, and its length."""
    with torch.device("meta"):
        expected = {
            name: list(tensor.shape)
            for name, tensor in ViT(architecture).state_dict().items()
            if labelled or not name.startswith("head.")
        }
    mend = "Train or fetch the model again." if labelled else "Pre-train again."
    try:
        with safe_open(path, "pt") as weights:
            found = {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118 - no mapping
    except FileNotFoundError as error:
        raise IntegrityError(f"{path} is missing. {mend}") from error
    except (OSError, SafetensorError) as error:
        raise IntegrityError(f"{path} is damaged ({error}). {mend}") from error
    if found != expected:
        raise IntegrityError(f"the weights in {path} are not of the network that is described beside them. {mend}")


def _shape(architecture: ViTConfig) -> ViTConfig:
    """What decides the shapes of the weights; the head is of the dataset's classes."""
    return replace(architecture, dropout=0.0, drop_path=0.0, classes=1)
