"""Models that are trained on phantoms through the library, for what needs one that has learned."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.network import network
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

log = get_logger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What is trained, and on what.

    Attributes:
        name: of its folder.
        preprocess: of the phantom scans.
        train: how.
        minutes: that it takes on two idle cores, about.
    """

    name: str
    preprocess: PreprocessConfig
    train: TrainConfig
    minutes: int


DEFAULT = Recipe(  # to three quarters right
    "default", PreprocessConfig(image_size=96, final_eval_share=0), TrainConfig(epochs=7, batch_size=32), minutes=1
)
SEED = Recipe(  # the seed's network: 5 M parameters, and a sixtieth of the speed
    "seed",
    PreprocessConfig(image_size=64, final_eval_share=0),
    TrainConfig(preset="vit-seed-64", epochs=4, batch_size=32),
    minutes=13,
)


@dataclass(frozen=True)
class Trained:
    """A model and what it was trained on."""

    model: ModelFolder
    dataset: DatasetVersion
    recipe: Recipe

    @property
    def name(self) -> str:
        """What it is, for whoever reads a figure."""
        return f"{network(self.dataset, self.recipe.train)}, trained on phantom OCT scans"


def trained_model(home: Path, recipe: Recipe) -> Trained:
    """Train it, or take the one that is there if library, data and recipe are still the same."""
    parts = f"{code_fingerprint()} {SOURCE} {recipe}"
    folder = home / f"trained-{recipe.name}-{hashlib.sha256(parts.encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        for old in home.glob(f"trained-{recipe.name}-*"):
            shutil.rmtree(old)
        log.info(
            "training the model '%s' for the benchmarks, once for this state of the library: some %d minutes",
            recipe.name,
            recipe.minutes,
        )
        with atomic_folder(folder, marker="model") as aside:
            _train(aside, recipe)
    return Trained(ModelFolder.open(folder / "model"), DatasetVersion.open(folder / "dataset"), recipe)


def _train(folder: Path, recipe: Recipe) -> None:
    from secondread.training.train import train

    dataset = phantom_version(SOURCE, folder, recipe.preprocess)
    train(dataset, folder / "model", recipe.train)


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
