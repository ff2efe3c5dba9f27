"""Training speed of the default preset, and how it compares with the configuration that this project started from."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Measurement
from benchmarks.trained import phantom_version
from benchmarks.workplace import Workplace
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.cpus import cpu_limit

if TYPE_CHECKING:
    from secondread.data.versions.dataset import DatasetVersion

SIZE, SOURCE = 96, "phantom://demo?images=720&size=96"
SEED_PRESET = "vit-seed-64"
# one batch of 64 an epoch: the seed configuration takes a quarter of a minute for it
SEED_SIZE, SEED_SOURCE = 64, "phantom://demo?images=144&size=64"
OUR_EPOCHS, SEED_EPOCHS = 6, 3


def images_per_second(_: Workplace) -> Sequence[Measurement]:
    """The default preset at its own size."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = phantom_version(SOURCE, Path(folder), PreprocessConfig(image_size=SIZE))
        speeds = _speeds(dataset, TrainConfig(epochs=4))
    note = f"none; {TrainConfig.preset}, {SIZE} px, {_setting()}"
    n = len(speeds) * _images_an_epoch(dataset)
    return [Measurement("train.images_per_second", statistics.median(speeds), "images/s", note, n)]


def speedup_vs_seed_config(_: Workplace) -> Sequence[Measurement]:
    """The default preset at 64 pixels, before and after the seed's, so that a drift of the machine evens out."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = phantom_version(SEED_SOURCE, Path(folder), PreprocessConfig(image_size=SEED_SIZE))
        before = _speeds(dataset, TrainConfig(epochs=OUR_EPOCHS))
        theirs = _speeds(dataset, TrainConfig(epochs=SEED_EPOCHS, preset=SEED_PRESET))
        after = _speeds(dataset, TrainConfig(epochs=OUR_EPOCHS))
    ratio = statistics.median(before + after) / statistics.median(theirs)
    peer = f"preset {SEED_PRESET} where ours is {TrainConfig.preset}, both at {SEED_SIZE} px, {_setting()}"
    n = len(before + theirs + after) * _images_an_epoch(dataset)
    return [Measurement("train.speedup_vs_seed_config", ratio, "x", peer, n)]


def _speeds(dataset: DatasetVersion, config: TrainConfig) -> list[float]:
    """Images a second of each epoch but the first, in which memory is laid out."""
    from secondread.training.batches import Share
    from secondread.training.fit import fit

    fitted = fit(dataset, config, share=Share(), tracker=None)
    return [figures.images_per_second for figures in fitted.epochs[1:]]


def _images_an_epoch(dataset: DatasetVersion) -> int:
    """Those that fill a batch."""
    images, batch = sum(dataset.counts["train"].values()), TrainConfig.batch_size
    return images - images % batch


def _setting() -> str:
    import torch

    from secondread.training.fit import precision_for

    config, cuda = TrainConfig(), torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else f"{cpu_limit()} threads"
    return f"batch {config.batch_size}, {precision_for(config, cuda=cuda)}, {device}"
