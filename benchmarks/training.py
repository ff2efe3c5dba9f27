"""What the benchmarks of training share: phantoms to train on, one training, and its setting in words."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.trained import phantom_version
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.cpus import cpu_limit

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from secondread.data.versions.dataset import DatasetVersion
    from secondread.training.fit import Fitted


@contextmanager
def phantoms(images: int, size: int) -> Iterator[DatasetVersion]:
    """A dataset version of phantoms of all nine classes, there until the block ends; seven tenths of it are train."""
    config = PreprocessConfig(image_size=size, final_eval_share=0)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield phantom_version(f"phantom://demo?images={images}&size={size}", Path(folder), config)


def fit_alone(dataset: DatasetVersion, config: TrainConfig, callbacks: Sequence[Callback] = ()) -> Fitted:
    """Train in this process as `secondread train` does, without calibration and export."""
    from secondread.training.batches import Share
    from secondread.training.fit import fit
    from secondread.training.trainer import parts_for

    parts = replace(parts_for(config, Share()), callbacks=callbacks)
    return fit(dataset, config, share=Share(), tracker=None, parts=parts)


def speed(fitted: Fitted) -> float:
    """Images a second: the median of the epochs, but for the first one, in which memory is laid out."""
    return statistics.median(figures.images_per_second for figures in fitted.epochs[1:])


def images_an_epoch(dataset: DatasetVersion, config: TrainConfig) -> int:
    """Those that fill a batch."""
    images = sum(dataset.counts["train"].values())
    batch = min(config.batch_size, images)
    return images - images % batch


def precision() -> str:
    """What `auto` means here."""
    import torch

    from secondread.training.trainer import precision_for

    return precision_for(TrainConfig(), cuda=torch.cuda.is_available())


def setting(config: TrainConfig) -> str:
    """Batch, precision and device in words."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{cpu_limit()} threads"
    return f"batch {config.batch_size}, {precision()}, {device}"
