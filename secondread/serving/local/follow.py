"""The local server goes along when the registry's alias moves: the new version is loaded beside the old, then answers.

What is in flight is finished with the old version, which goes on answering whoever names it until the next change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError, InputError, SecondReadError
from secondread.export.repository.layout import RepositoryModel, read_repository
from secondread.export.repository.signing import verify_folder
from secondread.logging import get_logger
from secondread.serving.local.private_repository import PrivateRepository, triton_name
from secondread.serving.local.triton import LocalTriton
from secondread.serving.transformer.transformer import Transformer
from secondread.serving.transformer.versions import Served, ServedVersion

_LONGEST_PAUSE_SECONDS = 300.0  # between two tries of what fails again and again
_STOP_SECONDS = 2.0  # for a look at the registry; what takes longer ends with the process

log = get_logger(__name__)


@dataclass(frozen=True)
class Follow:
    """Which version is to be served, and where it lies.

    Attributes:
        seconds: between two looks, above 0.
        first: where the repository lies that is served at the start, such as the champion's `storage_uri`.
        wanted: says where the one lies that is to be served now.
        opened: gives a repository as a folder of this machine.
    """

    seconds: float
    first: str
    wanted: Callable[[], str]
    opened: Callable[[str], AbstractContextManager[Path]]

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise InputError(f"to follow an alias, give the seconds between two looks, above 0, not {self.seconds:g}.")


def on_triton(triton: LocalTriton, models: Sequence[RepositoryModel], config: ServeConfig) -> ServedVersion:
    """A version that the local Triton has loaded.

    Args:
        triton: that has it.
        models: the model, and the one that explains it where there is one.
        config: how long an answer may take.
    """
    return ServedVersion([Served.at(triton.http_address, model, config, named=triton_name(model)) for model in models])


class Follower:
    """Changes the version that is served.

    Args:
        follow: which one is to be.
        transformer: that answers.
        triton: behind it.
        repository: that Triton loads from.
        config: name of the model, and how long things may take.
        trusted: public key, or folder of such keys, whose signature a version must have.
    """

    def __init__(
        self,
        follow: Follow,
        transformer: Transformer,
        triton: LocalTriton,
        repository: PrivateRepository,
        config: ServeConfig,
        trusted: Path,
    ) -> None:
        self._follow, self._transformer, self._triton = follow, transformer, triton
        self._repository, self._config, self._trusted = repository, config, trusted
        self._place = follow.first
        self._there = {follow.first: transformer.versions.current}
        self._said = ""
        self._stop = threading.Event()

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow inside the block."""
        thread = threading.Thread(target=self._run, name="follower", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        pause = self._follow.seconds
        while not self._stop.wait(pause):
            pause = self._follow.seconds if self.look() else min(2 * pause, max(pause, _LONGEST_PAUSE_SECONDS))

    def look(self) -> bool:
        """Look once, and change the version if another one is to be served; what fails leaves all as it is.

        Returns:
            Whether what is served is what is to be.
        """
        try:
            place = self._follow.wanted()
            if place != self._place:
                self._change(place)
            self._said = ""
        except Exception as error:
            if not self._stop.is_set() and str(error) != self._said:  # once, not at each look
                number = self._transformer.versions.current.number
                a_bug = None if isinstance(error, SecondReadError) else error
                log.error("version %s goes on answering: %s", number, error, exc_info=a_bug)
            self._said = str(error)
            return False
        return True

    def _change(self, place: str) -> None:
        version = self._there.get(place)
        if version is None:
            with self._follow.opened(place) as folder:
                version = self._load(folder)
        dropped = self._transformer.switch(version)
        self._place = place
        self._there = {where: each for where, each in self._there.items() if each not in dropped} | {place: version}
        model = version.first.model
        log.info("%s version %s (digest %s) answers from now on", model.name, model.version, model.digest[:12])
        for each in dropped:
            self._unload([served.model for served in each.models.values()])
            each.close()
            log.info("version %s is unloaded", each.number)

    def _load(self, folder: Path) -> ServedVersion:
        number = read_repository(folder, self._config.name).version
        verify_folder(folder, self._trusted)
        if number in self._transformer.versions.numbers(self._config.name):
            raise InputError(f"{folder} is version {number}, which is served already from another place.")
        models = self._repository.add(folder)
        version = on_triton(self._triton, models, self._config)
        try:
            for model in models:
                self._triton.load(triton_name(model))
            for served in version.models.values():
                size = served.model.config.preprocessing.size
                served.predictor.infer(np.zeros((1, 1, size, size), np.uint8))
        except BaseException:
            version.close()
            self._unload(models)
            raise
        return version

    def _unload(self, models: Sequence[RepositoryModel]) -> None:
        for model in models:
            with suppress(DependencyError):  # a Triton that ended comes back without it
                self._triton.unload(triton_name(model))
        self._repository.remove(models)
