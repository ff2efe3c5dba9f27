"""Models that are trained on phantoms through the library, for what needs one that has learned."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import secondread
from benchmarks.allocator import freed_memory_kept
from benchmarks.network import network
from secondread.atomic import atomic_folder
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.data.fingerprint import fingerprint_files
from secondread.data.ingest import ingest
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.logging import get_logger
from secondread.model.folder import ModelFolder

# What is learned from phantoms, and how it is written down, is decided here.
_SOURCES = (
    *("model/*.py", "training/*.py", "data/pixels/*.py", "data/versions/*.py", "data/sources/phantom/*.py"),
    *("config/ingest.py", "config/preprocess.py", "config/train.py", "export/onnx.py"),
)

log = get_logger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What is trained, and on what.

    Attributes:
        name: of its folder.
        source: URI of the phantoms.
        learned_from: what these are, in words.
        size: pixels of both sides.
        train: how.
        minutes: that it takes on two idle cores, about.
    """

    name: str
    source: str
    learned_from: str
    size: int
    train: TrainConfig
    minutes: int

    @property
    def preprocess(self) -> PreprocessConfig:
        """How the phantoms are made ready."""
        return PreprocessConfig(image_size=self.size, final_eval_share=0)


# One modality: a network that is to learn all nine classes needs more than a minute, and what has not learned loses
# nothing in 8 bits. This one reads nine in ten right.
DEFAULT = Recipe(
    name="default",
    source="phantom://oct?images=2400&size=128",
    learned_from="phantom OCT scans",
    size=96,
    train=TrainConfig(epochs=7, batch_size=32),
    minutes=1,
)
# What is served at its fastest: the default preset at 64 px. What it has learned does not matter to its speed.
SERVED = Recipe(
    name="served",
    source="phantom://oct?images=600&size=128",
    learned_from="phantom OCT scans",
    size=64,
    train=TrainConfig(epochs=2, batch_size=32),
    minutes=1,
)
# The seed's network, which shows eight images a second on two cores: what it can learn in so many minutes.
SEED = Recipe(
    name="seed",
    source="phantom://cxr?classes=cxr-normal,cxr-covid,cxr-tuberculosis&images=2400&size=128",
    learned_from="phantom films of three classes",
    size=64,
    train=TrainConfig(preset="vit-seed-64", epochs=5, batch_size=16, mixup_alpha=0, ema_decay=0.99),
    minutes=20,
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
        return f"{network(self.dataset, self.recipe.train)}, trained on {self.recipe.learned_from}"


def trained_model(home: Path, recipe: Recipe) -> Trained:
    """Train it, or take the one that is there if library, data and recipe are still the same."""
    parts = f"{_code()} {recipe}"
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


def _code() -> str:
    """A digest of what decides the weights and the graph that come of a recipe."""
    library = Path(secondread.__file__).parent
    return fingerprint_files(library, (path for pattern in _SOURCES for path in library.glob(pattern)))


def _train(folder: Path, recipe: Recipe) -> None:
    from secondread.training.train import train

    dataset = phantom_version(recipe.source, folder, recipe.preprocess)
    with freed_memory_kept():
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
