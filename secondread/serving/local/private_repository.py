"""The folder that the local Triton loads from: copies of what was verified, which nobody else can write.

    <home>/serving/.triton.<host>-<pid>-<random>.partial/      mode 0700, removed in the end
        secondread.2/config.pbtxt, secondread.2/2/...          version 2, to Triton a model of its own
        secondread-explain.2/...
        secondread.1/...

A model of its own, because Triton has one configuration for all versions of a model, and another version may have other
classes or another image size.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from secondread.atomic import own_folder, room_in
from secondread.export.repository.layout import (
    RepositoryModel,
    model_names,
    read_repository,
)
from secondread.export.repository.signing import verify_folder
from secondread.export.repository.triton_config import TRITON_CONFIG_FILE, renamed_triton_config
from secondread.logging import get_logger

log = get_logger(__name__)


def triton_name(model: RepositoryModel) -> str:
    """What the local Triton calls a version of a model."""
    return f"{model.name}.{model.version}"


class PrivateRepository:
    """Triton's repository of this process.

    Args:
        folder: empty, of this process alone.
        name: of the model whose versions are put in.
        trusted: public key, or folder of such keys, whose signature each version must have.
    """

    def __init__(self, folder: Path, name: str, trusted: Path) -> None:
        self.folder, self._name, self._trusted = folder, name, trusted

    @classmethod
    @contextmanager
    def below(cls, home: Path, name: str, trusted: Path) -> Iterator[PrivateRepository]:
        """An empty one, there inside the block."""
        with own_folder(Path(home).absolute() / "serving" / "triton") as folder:
            yield cls(folder, name, trusted)

    def add(self, repository: Path) -> list[RepositoryModel]:
        """Copy the version of a registered repository, and verify the copy: what is loaded is what was signed.

        Args:
            repository: `<root>/<name>/<digest>`, as `register` wrote it; verified before, for errors that name it.
        Returns:
            The model, and the one that explains it where there is one.
        Raises:
            IntegrityError: the folder holds no such model, is not signed by a trusted key, or is not what was signed.
            DependencyError: no room is left for the copy.
        """
        with room_in(self.folder), tempfile.TemporaryDirectory(dir=self.folder) as aside:
            copy = Path(aside)
            _copy_files(repository, copy)
            key = verify_folder(copy, self._trusted)
            models = [read_repository(copy, name) for name in model_names(copy, self._name)]
            for model in models:
                self._place(copy, model)
        log.info("%s is what key %s signed", repository, key.name)
        return models

    def remove(self, models: Sequence[RepositoryModel]) -> None:
        """Forget models that Triton has unloaded."""
        for model in models:
            shutil.rmtree(self.folder / triton_name(model), ignore_errors=True)

    def _place(self, copy: Path, model: RepositoryModel) -> None:
        name = triton_name(model)
        text = (copy / model.name / TRITON_CONFIG_FILE).read_text(encoding="utf-8")
        self.remove([model])  # of an attempt that failed
        (self.folder / name).mkdir()
        (self.folder / name / TRITON_CONFIG_FILE).write_text(renamed_triton_config(text, name), encoding="utf-8")
        (copy / model.name / model.version).rename(self.folder / name / model.version)


def _copy_files(source: Path, target: Path) -> None:
    """Their contents alone: what a store made read-only could not be removed again."""
    for path in source.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
