"""Pre-trains a network on the train split and any pictures without labels, and writes its weights to start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import numpy as np
import pandas as pd
import torch

from secondread import __version__
from secondread.atomic import atomic_folder, sha256_bytes
from secondread.config.pretrain import PretrainConfig
from secondread.config.train import TrainConfig
from secondread.cpus import cpu_limit
from secondread.data.manifest import SPLITS
from secondread.data.unlabelled import Pixels, read_unlabelled
from secondread.data.versions.dataset import DatasetVersion, SplitData
from secondread.errors import DependencyError, StoppedError
from secondread.logging import get_logger
from secondread.training.batches import Share, train_batches
from secondread.training.fit import architecture_for
from secondread.training.memory import is_out_of_memory
from secondread.training.pretraining.folder import PRETRAINED_FILE, Pretrained
from secondread.training.pretraining.masked import MaskedImages
from secondread.training.sharded import whole_state
from secondread.training.trainer import TrainerParts, contained, make_trainer

log = get_logger(__name__)


@dataclass(frozen=True)
class PretrainResult:
    """What a pre-training gave.

    Attributes:
        root: the folder that was written.
        images: that were learned from.
        losses: of each pass; 1 is what drawing every cell in its mean grey gives.
    """

    root: Path
    images: int
    losses: Sequence[float]


def pretrain(
    dataset: DatasetVersion, output: Path, config: PretrainConfig, *, unlabelled: Sequence[str] = ()
) -> PretrainResult:
    """Learn from the train split's images and any others, without their labels.

    Images of other places that are in val, test or final_eval, pixel for pixel, are left out: what is judged later must
    not have been seen.

    Args:
        dataset: says size and preprocessing.
        output: folder to write: weights without the classifier's head, and how they came about.
        config: recipe.
        unlabelled: folders, archives or URIs.
    Raises:
        InputError: there is no such preset, or a place has no image that can be read.
        StoppedError: the process was asked to end; nothing is written.
        DependencyError: memory ran out.
    """
    images = _images(dataset, read_unlabelled(unlabelled, dataset.preprocessing))
    with atomic_folder(output, marker=PRETRAINED_FILE, inputs=[dataset.root]) as folder:
        module = _fit(dataset, images, config)
        state = whole_state(module.model.state_dict())
        weights = {name: value for name, value in state.items() if not name.startswith("head.")}
        document = {
            "architecture": module.model.config.to_dict(),
            "preprocessing": dataset.preprocessing.to_dict(),
            "dataset_version": dataset.content_hash,
            "images": len(images),
            "losses": module.losses,
            "config": asdict(config),
            "library_version": __version__,
        }
        Pretrained(document, weights).write(folder)
    return PretrainResult(output, len(images), module.losses)


def _images(dataset: DatasetVersion, others: Pixels) -> Pixels:
    """The train split's pixels and those others that no other split has: uint8 (images, 1, size, size)."""
    own = dataset.split("train").images
    if not len(others):
        return own
    judged: set[str] = set()
    for name in SPLITS:
        if name != "train" and dataset.counts.get(name):
            judged |= {sha256_bytes(image.tobytes()) for image in dataset.split(name).images}
    kept = np.array([sha256_bytes(image.tobytes()) not in judged for image in others])
    if not kept.all():
        log.warning("left out %s images that are in val, test or final_eval", f"{int((~kept).sum()):,}")
    return np.concatenate([own, others[kept]])


def _fit(dataset: DatasetVersion, images: Pixels, config: PretrainConfig) -> MaskedImages:
    recipe = TrainConfig(
        preset=config.preset,
        batch_size=config.batch_size,
        precision=config.precision,
        gradient_clip=config.gradient_clip,
        threads=config.threads,
        seed=config.seed,
    )
    lightning.seed_everything(config.seed, verbose=False)
    module = MaskedImages(architecture_for(dataset, recipe), config)
    data = SplitData(images, np.zeros(len(images), np.int64), pd.DataFrame())
    batches = train_batches(data, batch_size=config.batch_size, seed=config.seed, share=Share())
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or cpu_limit())
    try:
        with contained():
            trainer = make_trainer(
                recipe,
                TrainerParts(),
                epochs=max(1, round(config.image_presentations / len(images))),
                callbacks=[],
            )
            trainer.fit(module, batches)
    except SystemExit:  # Lightning's answer to SIGTERM and to Ctrl-C
        raise StoppedError("pre-training was stopped. The same command, run again, begins anew.") from None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        less = f"Set pretrain.batch_size={config.batch_size // 2}" if config.batch_size > 3 else "Take a smaller preset"
        raise DependencyError(
            f"out of memory with {config.batch_size} images a step. {less}, or pre-train where there is more memory."
        ) from error
    finally:
        torch.set_num_threads(before)
    return module
