"""The folder that a training works in until its model is whole, and by which key a later run finds it again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

import torch

from secondread.atomic import one_at_a_time, room_in, sha256_file
from secondread.config.train import TrainConfig
from secondread.data.engines.journal import resume_key
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import InputError, IntegrityError

_KEY_DIGITS = 16  # hex digits of a key in a name
# of a recipe, what says where and how a training runs, and not what comes of it
_CIRCUMSTANCES = frozenset({"name", "storage", "ray_address", "max_failures", "checkpoint_minutes"})
# and what is done with the weights that came of it: seconds, and done anew by every run
_AFTERWARDS = frozenset({"explain", "audit_images", "abstain_share", "out_of_distribution_share", "class_sensitivity"})


def run_key(dataset: DatasetVersion, config: TrainConfig, start: str) -> str:
    """A hash, hex, of all that decides which weights a training comes to.

    Args:
        dataset: that is trained on.
        config: recipe.
        start: file of weights to begin with; empty for random ones.
    """
    recipe = {name: value for name, value in asdict(config).items() if name not in _CIRCUMSTANCES | _AFTERWARDS}
    return resume_key(dataset.content_hash, recipe, sha256_file(start) if start else "", torch.__version__)


@contextmanager
def run_folder(beside: Path, storage: str, key: str, *, forget: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Give the folder of a run, with what an earlier one left in it.

    It is removed when the block ends well. After an `InputError`, which the same run would meet again, it is removed
    too, unless an earlier run left something in it: that is not lost for a mistake in how it was called again. Nor are
    hours of checkpoints for an `IntegrityError`, after which somebody looks after the volume.

    Args:
        beside: folder whose hidden folder `.work` it is where there is no storage.
        storage: folder on a volume, for runs that lose what is beside; empty for none.
        key: of the run.
        forget: is given the folder before what an earlier run left in it is removed; None: it is gone on with.
    Raises:
        InputError: the storage cannot be written.
        DependencyError: another run works in it, or the storage is full.
    """
    work = Path(storage) / f"train-{key[:_KEY_DIGITS]}" if storage else beside / ".work"
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write {work}: {error.strerror}. Set train.storage to a folder that you may write to."
        ) from error
    with one_at_a_time(work, wait=False):
        if forget:
            forget(work)
            empty_folder(work)
        work.mkdir(exist_ok=True)  # a run that has just ended may have taken it away
        continued = any(work.iterdir())
        try:
            with room_in(Path(storage)) if storage else nullcontext():  # else it is the output's disk
                yield work
        except InputError as error:
            fault = isinstance(error, IntegrityError) and any(work.iterdir())
            if not (continued or fault):
                shutil.rmtree(work, ignore_errors=True)  # what is wrong is the error, not that this cannot be removed
            raise
        # a volume that keeps some file of it costs no model that is whole; the output's own folder is to be without
        shutil.rmtree(work, ignore_errors=bool(storage))


def empty_folder(folder: Path) -> None:
    """Make a folder, or remove what is in it."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
