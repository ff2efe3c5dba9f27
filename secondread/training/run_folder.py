"""The folder that a training works in until its model is whole, and by which key a later run finds it again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch

from secondread.atomic import sha256_file
from secondread.config.train import TrainConfig
from secondread.data.engines.journal import resume_key
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import InputError

_KEY_DIGITS = 16  # hex digits of a key in a name


def run_key(dataset: DatasetVersion, config: TrainConfig, start: str) -> str:
    """A hash, hex, of all that decides what a training comes to.

    Args:
        dataset: that is trained on.
        config: recipe.
        start: file of weights to begin with; empty for random ones.
    """
    return resume_key(dataset.content_hash, asdict(config), sha256_file(start) if start else "", torch.__version__)


@contextmanager
def run_folder(beside: Path, storage: str, key: str) -> Iterator[Path]:
    """Give the folder of a run, with what an earlier one left in it.

    It is removed when the block ends well, and after an `InputError`, which the same run would meet again.

    Args:
        beside: folder whose hidden folder `.work` it is where there is no storage.
        storage: folder on a volume, for runs that lose what is beside; empty for none.
        key: of the run.
    Raises:
        InputError: the storage cannot be written.
    """
    work = Path(storage) / f"train-{key[:_KEY_DIGITS]}" if storage else beside / ".work"
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write {work}: {error.strerror}. Set train.storage to a folder that you may write to."
        ) from error
    try:
        yield work
    except InputError:
        shutil.rmtree(work)
        raise
    shutil.rmtree(work)


def empty_folder(folder: Path) -> None:
    """Make a folder, or remove what is in it."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
