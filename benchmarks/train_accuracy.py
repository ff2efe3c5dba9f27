"""Accuracy of the default preset and of the seed's network after as many epochs, on the same held-out films.

Hours: the seed's network does about nine images a second on two cores, and takes 8 GB for a batch of 64. So each
training that is done is kept in `var/bench/seed-accuracy`, and a run that is ended, or whose time is up, is gone on
with by the next one.

Both are trained by the library with its recipe: the same order of images, augmentation, loss, optimiser and choice of
the best epoch, so that what differs is the network. The recipe was chosen for ours: with another one the seed's might
do better. The seed's is our preset `vit-seed-64`, which computes what `vit-pytorch` computes, at its speed
(tests/benchmarks/test_peer_seed.py holds the two together).
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.allocator import freed_memory_kept
from benchmarks.films import VARIABLE, public_folder
from benchmarks.measure import Measurement
from benchmarks.network import network
from benchmarks.trained import public_version
from benchmarks.training import fit_alone, setting
from benchmarks.workplace import ROOT, Workplace
from secondread.atomic import read_json, write_json
from secondread.config.train import TrainConfig
from secondread.errors import DependencyError
from secondread.logging import get_logger

if TYPE_CHECKING:
    from secondread.data.versions.dataset import DatasetVersion
    from secondread.model.vit import ViTConfig

PUBLIC_SET, SIZE = "radiography-4", 64
SEED_PRESET = "vit-seed-64"
EPOCHS = 12  # as many as the seeds trained
SPLIT_SEEDS, FOLDS = (0, 1), 3
MINUTES = 100  # after them no further pair of trainings is begun: the figure is of those that are done

# What is learned from the same data with the same settings is decided here.
_SOURCES = (
    "model/vit.py",
    *(f"training/{name}.py" for name in ("augment", "batches", "best", "ema", "fit", "module", "optimizer", "trainer")),
)

# Of the settings, these decide where and how it runs, not what comes of it.
_RUNNING = ("name", "strategy", "processes", "nodes", "ray_address", "storage", "max_failures", "checkpoint_minutes")

log = get_logger(__name__)


@dataclass(frozen=True)
class Held:
    """How a network did on the films that its fold holds out.

    Attributes:
        right: how many of them it read right.
        images: how many there are.
        trained: images it was trained on.
        seconds: that the training took.
    """

    right: int
    images: int
    trained: int
    seconds: float

    @property
    def accuracy(self) -> float:
        """From 0 to 1."""
        return self.right / self.images


def minus_seed_config(place: Workplace) -> Sequence[Measurement]:
    """The difference in points, with the lower end of its interval.

    Raises:
        DependencyError: the public set is not there.
    """
    films = public_folder(ROOT) / PUBLIC_SET
    if not films.is_dir():
        raise DependencyError(f"{films} is not there: name the folder with the set {PUBLIC_SET} in {VARIABLE}.")
    with freed_memory_kept(), tempfile.TemporaryDirectory(prefix="bench-") as folder:
        dataset = public_version(films, Path(folder), image_size=SIZE)
        return compare(dataset, place.home / "seed-accuracy", TrainConfig(epochs=EPOCHS, early_stopping_epochs=0))


def compare(
    dataset: DatasetVersion,
    home: Path,
    config: TrainConfig,
    *,
    split_seeds: Sequence[int] = SPLIT_SEEDS,
    folds: int = FOLDS,
    minutes: float = MINUTES,
) -> list[Measurement]:
    """Train both networks on every fold of every split.

    Args:
        dataset: version of films of 64 pixels.
        home: folder that keeps what is done.
        config: of ours; the seed's differs in the preset alone.
        split_seeds: of the ways to deal the films to folds.
        folds: of each.
        minutes: after which no further fold is trained on; those that earlier runs did count all the same.
    """
    seed_config = replace(config, preset=SEED_PRESET)
    pairs: list[tuple[Held, Held]] = []
    todo = [(seed, fold) for seed in split_seeds for fold in range(1, folds + 1)]
    deadline = time.monotonic() + 60 * minutes
    for number, (seed, fold) in enumerate(todo, start=1):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            part = _fold(dataset, Path(folder) / "dataset", folds=folds, seed=seed, fold=fold)
            late = len(pairs) > 1 and time.monotonic() > deadline
            if late and not all(_kept(part, home, each).is_file() for each in (config, seed_config)):
                log.info("%d of %d folds are done; the same command goes on with the others", number - 1, len(todo))
                break
            pairs.append((held_out(part, home, config), held_out(part, home, seed_config)))
        ours, theirs = pairs[-1]
        log.info("fold %d of %d: ours %.3f, the seed's %.3f", number, len(todo), ours.accuracy, theirs.accuracy)
    return _figures(dataset, pairs, config, seed_config)


def _figures(
    dataset: DatasetVersion, pairs: Sequence[tuple[Held, Held]], config: TrainConfig, seed_config: TrainConfig
) -> list[Measurement]:
    points = [100 * (ours.accuracy - theirs.accuracy) for ours, theirs in pairs]
    sides = [statistics.fmean(held.accuracy for held in side) for side in zip(*pairs, strict=True)]
    ours = pairs[0][0]
    low, high = interval(points, held_out_per_trained=ours.images / ours.trained)
    note = (
        f"{network(dataset, seed_config)} {sides[1]:.1%}, ours {network(dataset, config)} {sides[0]:.1%}: "
        f"{PUBLIC_SET}, {config.epochs} epochs of our recipe each, {setting(config)}, "
        f"{len(points)} folds by patient; 95 % interval {low:+.1f} to {high:+.1f} points (corrected for films that "
        "folds share)"
    )
    n = sum(held.images for held, _ in pairs)
    return [
        Measurement("train.accuracy_minus_seed_config_points", statistics.fmean(points), "points", note, n),
        Measurement("train.accuracy_minus_seed_config_low_points", low, "points", note, n),
    ]


def interval(differences: Sequence[float], *, held_out_per_trained: float) -> tuple[float, float]:
    """The 95 % interval of a mean difference over folds and splits.

    Trainings of several folds share most of their films, so that their spread alone would promise too much: the
    variance of the mean is taken as (1/k + held out / trained on) times theirs (Nadeau & Bengio 2003, section 3).

    Args:
        differences: one for each fold of each split, at least two.
        held_out_per_trained: images of a fold over those that are trained on.
    """
    from scipy.stats import t

    count = len(differences)
    spread = statistics.stdev(differences) * math.sqrt(1 / count + held_out_per_trained)
    half = float(t.ppf(0.975, count - 1)) * spread
    mean = statistics.fmean(differences)
    return mean - half, mean + half


def held_out(part: DatasetVersion, home: Path, config: TrainConfig) -> Held:
    """Train on train of a fold, with the best epoch on val, and judge on its test, or take what an earlier run came to.

    Args:
        part: a fold as a version.
        home: folder that keeps what is done.
        config: preset and recipe.
    """
    path = _kept(part, home, config)
    if path.is_file():
        return Held(**read_json(path))
    log.info("training %s", network(part, config))
    held = _train(part, config)
    home.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(held))
    return held


def _kept(part: DatasetVersion, home: Path, config: TrainConfig) -> Path:
    """The file of what a training came to; there once it is done."""
    from secondread.training.fit import architecture_for

    return home / f"{_recipe(part, config, architecture_for(part, config))}.json"


def _train(part: DatasetVersion, config: TrainConfig) -> Held:
    import torch

    from secondread.model.vit import ViT
    from secondread.training.batches import Share, even_batches
    from secondread.training.fit import architecture_for

    fitted = fit_alone(part, config)
    model = ViT(architecture_for(part, config)).eval()
    model.load_state_dict(fitted.state)
    test = part.split("test")
    with torch.inference_mode():
        found = [
            int((model(pixels.float() / 255).logits.argmax(dim=1) == labels).sum())
            for pixels, labels in even_batches(test, batch_size=64, share=Share())
        ]
    return Held(sum(found), len(test.labels), sum(part.counts["train"].values()), fitted.seconds)


def _fold(dataset: DatasetVersion, output: Path, *, folds: int, seed: int, fold: int) -> DatasetVersion:
    """The version whose test split is what a fold holds out."""
    from secondread.data.versions.folds import deal_folds, fold_splits
    from secondread.data.versions.resplit import resplit

    dealt = deal_folds(dataset.manifest, folds=folds, group="group_id", seed=seed)
    return resplit(dataset, fold_splits(dealt, fold, seed=seed), output, facts={})


def _recipe(part: DatasetVersion, config: TrainConfig, architecture: ViTConfig) -> str:
    """A name for all that decides what comes of a training."""
    import torch

    settings = {name: value for name, value in asdict(config).items() if name not in _RUNNING}
    facts = [part.content_hash, settings, architecture.to_dict(), _code(), torch.__version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


@cache
def _code() -> str:
    """A digest of what is run, without its comments; of the first time it is asked for, since files may be edited."""
    import secondread

    library = Path(secondread.__file__).parent
    trees = [ast.dump(ast.parse((library / name).read_text(encoding="utf-8"))) for name in _SOURCES]
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()
