"""One training, in this process: alone, or as one of those that `torch.distributed.run` started."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from secondread.config.train import AUTO, TrainConfig
from secondread.cpus import cpu_limit
from secondread.data.versions.dataset import DatasetVersion, SplitData
from secondread.errors import DependencyError, InputError
from secondread.model.vit import PRESETS, ViTConfig, preset_for
from secondread.training.batches import Share, TrainOrder, even_batches, train_batches
from secondread.training.best import KeepBest
from secondread.training.checkpoint import CheckpointFolder
from secondread.training.ema import WeightAverage
from secondread.training.epochs import EpochBar, EpochFigures, EpochLog
from secondread.training.memory import is_out_of_memory
from secondread.training.module import Classifier, LossError, class_weights
from secondread.training.resume import Checkpoints, Kept
from secondread.training.trainer import TrainerParts, contained, make_trainer, parts_for

if TYPE_CHECKING:
    # only a protocol is needed, and MLflow is no dependency of training
    from secondread.tracking.runs import RunTracker

CHECKPOINTS = "checkpoints"  # folder in the work folder
_NAMED_IMAGES = 8  # of a batch, in a message of one line
_VAL_BATCH_SIZE = 128  # images; without gradients twice as many fit into the cache as in training


@dataclass(frozen=True)
class Fitted:
    """What came of a training.

    Attributes:
        state: weights of the best epoch, on the CPU.
        best_epoch: counted from 1.
        epochs: figures of each.
        seconds: from the first to the last step, validation included.
    """

    state: dict[str, Tensor]
    best_epoch: int
    epochs: list[EpochFigures]
    seconds: float


def preset_name(dataset: DatasetVersion, config: TrainConfig) -> str:
    """The recipe's preset; of `auto`, the one for this dataset's image size.

    Raises:
        InputError: there is no such preset.
    """
    name = preset_for(dataset.image_size) if config.preset == AUTO else config.preset
    if name not in PRESETS:
        raise InputError(f"there is no preset '{name}'. Choose one of {AUTO}, {', '.join(PRESETS)}.")
    return name


def architecture_for(dataset: DatasetVersion, config: TrainConfig) -> ViTConfig:
    """The preset, for this dataset's image size and classes.

    Raises:
        InputError: there is no such preset, or tokens of whole pixels do not fill the images.
    """
    name = preset_name(dataset, config)
    preset = replace(PRESETS[name], drop_path=config.drop_path)
    fitted = preset.fit_to(image_size=dataset.image_size, classes=len(dataset.taxonomy.names))
    side = math.prod(fitted.stem_strides)
    if dataset.image_size % side:
        smaller = dataset.image_size // side * side
        raise InputError(
            f"images of {dataset.image_size} pixels are no multiple of the {side} pixels that a token of preset "
            f"{name} is wide. Preprocess them to {smaller} or {smaller + side}, or choose another preset."
        )
    return fitted


def epochs_for(images: int, config: TrainConfig) -> int:
    """Passes over a train split of `images`: as asked for, or as many as the budget of presentations gives."""
    return config.epochs or max(config.min_epochs, round(config.image_presentations / images))


def fit(
    dataset: DatasetVersion,
    config: TrainConfig,
    *,
    share: Share,
    tracker: RunTracker | None,
    work: Path | None = None,
    parts: TrainerParts | None = None,
    start: Mapping[str, Tensor] | None = None,
) -> Fitted:
    """Train on train, keep the weights that are best on val.

    Args:
        dataset: with a train and a val split; test is not looked at.
        config: recipe.
        share: this process's part; more than one process needs a strategy that starts them.
        tracker: of the run, on rank zero; None where nothing is tracked.
        work: folder for checkpoints that all processes, and later tries, see; None: a run that is cut starts anew.
        parts: what the strategy gives Lightning; None: as for this process alone or under `torch.distributed.run`.
        start: weights to begin with; None: random ones.
    Raises:
        InputError: the loss or its gradient is no number any more, or a class has no training image.
    """
    train, val = dataset.split("train"), dataset.split("val")
    architecture = architecture_for(dataset, config)
    lightning.seed_everything(config.seed, verbose=False)
    module = _module(dataset, train, architecture, config)
    if start is not None:
        module.model.load_state_dict({**module.model.state_dict(), **start})  # pre-trained ones have no head
    if config.compile:
        module.model.compile()  # in place: the names of the weights stay as they are
    batches = train_batches(train, batch_size=config.batch_size, seed=config.seed, share=share)
    # those that do not fill a batch are not trained on in that epoch
    images = len(batches) * min(config.batch_size, len(train.labels))
    epoch_log = EpochLog(images=images, classes=dataset.taxonomy.names, tracker=tracker)
    average = WeightAverage(config.ema_decay) if config.ema_decay else None
    best = KeepBest(epoch_log, average=average, patience=config.early_stopping_epochs)
    order = batches.sampler
    assert isinstance(order, TrainOrder)  # noqa: S101 - it was made so
    folder = CheckpointFolder(work / CHECKPOINTS) if work else None
    found = folder.latest() if folder else None
    if found:
        config = replace(config, precision=found["precision"])
    threads = found["threads"][share.rank] if found else _threads_for(config, share)
    checkpoints = Checkpoints(
        folder,
        Kept(order, epoch_log, best, average),
        found=found,
        minutes=config.checkpoint_minutes,
    )
    callbacks: list[Callback] = [*([average] if average else []), epoch_log, best, checkpoints]
    if sys.stderr.isatty() and share.rank == 0:
        callbacks.append(EpochBar(epoch_log))
    with _threads(threads), contained():
        trainer = make_trainer(
            config,
            parts or parts_for(config, share),
            epochs=epochs_for(len(train.labels), config),
            callbacks=callbacks,
        )
        try:
            trainer.fit(module, batches, even_batches(val, batch_size=_VAL_BATCH_SIZE, share=share))
        except LossError as error:
            positions = (order.whole_batch if error.shared else order.batch)(error.epoch, error.step)
            raise InputError(_with_a_way_out(error, train.rows["image_id"].iloc[positions].tolist(), config)) from None
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise _out_of_memory(config) from error
            if config.compile and _is_of_the_compiler(error):
                raise DependencyError(
                    f"cannot compile the network ({str(error).splitlines()[0]}). Install a C++ compiler (g++), or "
                    "set train.compile=false."
                ) from error
            raise
    return Fitted(state=best.state, best_epoch=best.epoch, epochs=epoch_log.figures, seconds=checkpoints.seconds)


def run_parameters(dataset: DatasetVersion, config: TrainConfig) -> dict[str, object]:
    """What a tracker should know of a run before it starts."""
    architecture = architecture_for(dataset, config).to_dict()
    return {
        **asdict(config),
        "preset": preset_name(dataset, config),
        "epochs": epochs_for(sum(dataset.counts["train"].values()), config),
        "dataset_version": dataset.content_hash,
        **{f"architecture.{name}": value for name, value in architecture.items()},
    }


def _module(dataset: DatasetVersion, train: SplitData, architecture: ViTConfig, config: TrainConfig) -> Classifier:
    if architecture.classes < 2:
        raise InputError(
            f"{dataset.root} has one class only ({dataset.taxonomy.names[0]}), so there is nothing to tell apart. "
            "Add images of another one."
        )
    present = set(train.labels.tolist())
    for position, name in enumerate(dataset.taxonomy.names):
        if position not in present:
            raise InputError(
                f"class '{name}' has no image in the train split of {dataset.root}. Add images of it, or leave it out."
            )
    weights = class_weights(train.labels, classes=architecture.classes, exponent=config.class_balance)
    return Classifier(architecture, config, weights=weights, taxonomy=dataset.taxonomy)


def _with_a_way_out(error: LossError, images: list[str], config: TrainConfig) -> str:
    named, more = ", ".join(images[:_NAMED_IMAGES]), len(images) - _NAMED_IMAGES
    return (
        f"{error}. Lower learning_rate (now {config.learning_rate:g}), set precision to 32-true, or look at the images "
        f"of the batch: {named}{f' and {more} more' if more > 0 else ''}."
    )


def _is_of_the_compiler(error: BaseException) -> bool:
    from torch._dynamo.exc import BackendCompilerFailed  # takes a second to import, and is loaded where it is raised

    return isinstance(error, BackendCompilerFailed)


def _out_of_memory(config: TrainConfig) -> DependencyError:
    per_step = config.batch_size // config.world_size
    parts, images = 2 * config.accumulate, max(2, config.batch_size // 2)
    ways = []
    if _allowed(config, accumulate=parts):
        ways.append(f"train.accumulate={parts} for the same step in less memory")
    if images < config.batch_size and _allowed(config, batch_size=images):
        ways.append(f"train.batch_size={images}")
    advice = f"Set {', or '.join(ways)}." if ways else "Train on smaller images, with a smaller preset or more memory."
    return DependencyError(
        f"out of memory with {per_step} images a step in each process, computed in {config.accumulate} "
        f"part{'s' * (config.accumulate > 1)}. {advice}"
    )


def _allowed(config: TrainConfig, **changes: Any) -> bool:
    """Whether the recipe may be changed so."""
    try:
        replace(config, **changes)
    except InputError:
        return False
    return True


def _threads_for(config: TrainConfig, share: Share) -> int:
    """This process's part of the CPUs."""
    on_this_machine = min(share.processes, config.processes)
    return max(1, (config.threads or cpu_limit()) // on_this_machine)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch compute with so many, and put the caller's setting back."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
