"""A model of the default preset, trained on phantoms through the library, for what needs one that has learned."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from secondread.atomic import atomic_folder
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.data.ingest import ingest
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.logging import get_logger
from secondread.model.folder import ModelFolder
from secondread.pipeline.code import code_fingerprint

# One modality: a network that is to learn all nine classes needs more than a minute, and what has not learned loses
# nothing in 8 bits.
SOURCE = "phantom://oct?images=2400&size=128"
PREPROCESS = PreprocessConfig(image_size=96, final_eval_share=0)
TRAIN = TrainConfig(epochs=7, batch_size=32)  # about a minute on two idle cores, to three quarters right

log = get_logger(__name__)


@dataclass(frozen=True)
class Trained:
    """A model and what it was trained on."""

    model: ModelFolder
    dataset: DatasetVersion

    @property
    def name(self) -> str:
        """What it is, for whoever reads a figure."""
        from secondread.training.fit import preset_name

        return f"{preset_name(self.dataset, TRAIN)}, {self.dataset.image_size} px, trained on phantom OCT scans"


def trained_model(home: Path) -> Trained:
    """Train it, or take the one that is there if library, data and recipe are still the same."""
    recipe = f"{code_fingerprint()} {SOURCE} {PREPROCESS} {TRAIN}"
    folder = home / f"trained-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        for old in home.glob("trained-*"):
            shutil.rmtree(old)
        log.info("training a model for the benchmarks, once for this state of the library: about a minute")
        with atomic_folder(folder, marker="model") as aside:
            _train(aside)
    return Trained(ModelFolder.open(folder / "model"), DatasetVersion.open(folder / "dataset"))


def _train(folder: Path) -> None:
    from secondread.training.train import train

    dataset = phantom_version(SOURCE, folder, PREPROCESS)
    train(dataset, folder / "model", TRAIN)


def phantom_version(uri: str, folder: Path, config: PreprocessConfig) -> DatasetVersion:
    """Draw phantoms and make a dataset version of them, `<folder>/dataset`."""
    return _version(IngestConfig(source=uri), folder, config)


def public_version(films: Path, folder: Path, *, image_size: int) -> DatasetVersion:
    """Make a dataset version of one of the public sets, `<folder>/dataset`; its patient ids are published already."""
    return _version(IngestConfig(str(films), public_ids=True), folder, PreprocessConfig(image_size=image_size))


def _version(source: IngestConfig, folder: Path, config: PreprocessConfig) -> DatasetVersion:
    ingest(source, folder / "images")
    dataset = write_dataset_version(folder / "images", folder / "dataset", config)
    shutil.rmtree(folder / "images")
    return dataset
