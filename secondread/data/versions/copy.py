"""A dataset version in another folder, without what the step that wrote it left beside its files."""

from __future__ import annotations

import shutil
from pathlib import Path

from secondread.atomic import atomic_folder
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion


def copy_version(version: DatasetVersion, folder: Path) -> DatasetVersion:
    """Copy a version's files; the folder appears whole or not at all.

    Raises:
        InputError: the folder cannot be written.
    """
    with atomic_folder(folder, marker=DATASET_FILE, inputs=[version.root]) as aside:
        shutil.copytree(version.root, aside, ignore=shutil.ignore_patterns("_*", ".*"), dirs_exist_ok=True)
    return DatasetVersion.open(folder)
