"""The versions of a model that are served side by side: one answers whoever names none, others whoever names them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from secondread.config.serve import ServeConfig
from secondread.export.repository.layout import RepositoryModel
from secondread.export.repository.triton_config import MAX_EXPLAINED
from secondread.model.session import SALIENCY
from secondread.serving.protocol import contract
from secondread.serving.protocol.contract import UnknownModelError
from secondread.serving.transformer.drift_watch import DriftWatch
from secondread.serving.transformer.metrics import Measures
from secondread.serving.transformer.predictor import EMBEDDING, READING, Predictor


@dataclass(frozen=True)
class Served:
    """A model that is answered for.

    Attributes:
        model: from its `config.json`.
        predictor: the line to it.
        measures: of its requests.
        max_images: of one request.
        drift: watches what it is asked; None where nothing is known of val, or nobody wants it.
        reader: the line to the graph that reads, where the model only says where it looked; else None.
    """

    model: RepositoryModel
    predictor: Predictor
    measures: Measures
    max_images: int
    drift: DriftWatch | None = None
    reader: Predictor | None = None

    @classmethod
    def at(cls, address: str, model: RepositoryModel, config: ServeConfig, *, named: str = "") -> Served:
        """A model on a Triton.

        Args:
            address: host:port of Triton's HTTP service.
            model: from its `config.json`.
            config: how long an answer may take, and how drift is watched.
            named: what Triton calls it, where that is not its own name.
        """
        explains, drift = contract.explains(model), _watch(model, config)
        predictor = Predictor(
            address,
            model.name,
            model.version,
            timeout_seconds=config.predictor_timeout_seconds,
            outputs=(*READING, *([SALIENCY] if explains else []), *([EMBEDDING] if drift else [])),
            named=named,
        )
        measures = Measures(model.name, model.version, model.config.taxonomy.names)
        return cls(model, predictor, measures, MAX_EXPLAINED if explains else contract.MAX_IMAGES, drift)


def _watch(model: RepositoryModel, config: ServeConfig) -> DriftWatch | None:
    if model.reference is None or not config.drift_images:
        return None
    return DriftWatch(
        model.name, model.version, model.reference, images=config.drift_images, seconds=config.drift_seconds
    )


class ServedVersion:
    """One version of a model, and of the one that explains it.

    Args:
        models: the model, and the one that explains it where there is one. That is another graph where the first was
            made faster, so that what it explains is read by the first.
    Attributes:
        first: the model.
        models: by name.
        in_use: requests that are being answered with it.
    """

    def __init__(self, models: Sequence[Served]) -> None:
        self.first = models[0]
        others = (replace(served, reader=self.first.predictor) for served in models[1:])
        self.models = {served.model.name: served for served in (self.first, *others)}
        self.in_use = 0

    @property
    def number(self) -> str:
        """Of the version, as the registry has it."""
        return self.first.model.version

    def close(self) -> None:
        """Close the connections to Triton, and watch no drift any more."""
        for served in self.models.values():
            served.predictor.close()
            if served.drift:
                served.drift.close()


class Versions:
    """What is served. May be asked from several threads at once.

    Args:
        current: version that answers whoever names none.
    """

    def __init__(self, current: ServedVersion) -> None:
        self._all: tuple[ServedVersion, ...] = (current,)
        self._changed = threading.Condition()

    @property
    def current(self) -> ServedVersion:
        """The version that answers whoever names none."""
        return self._all[0]

    def all(self) -> tuple[ServedVersion, ...]:
        """The versions, the current one first."""
        return self._all

    def find(self, name: str, version: str | None = "") -> Served:
        """The model that a request is for.

        Args:
            name: of the model.
            version: of it; none or empty for the current one.
        Raises:
            UnknownModelError: there is no such model, or no such version of it, here.
        """
        return self._holding(name, version).models[name]

    def numbers(self, name: str) -> list[str]:
        """The versions of a model that there are, the current one first."""
        return [version.number for version in self._all if name in version.models]

    @contextmanager
    def using(self, name: str, version: str | None = "") -> Iterator[Served]:
        """The same as `find`; inside the block this version is not dropped.

        Raises:
            UnknownModelError: there is no such model, or no such version of it, here.
        """
        with self._changed:
            held = self._holding(name, version)
            held.in_use += 1
        try:
            yield held.models[name]
        finally:
            with self._changed:
                held.in_use -= 1
                self._changed.notify_all()

    def switch(self, to: ServedVersion) -> list[ServedVersion]:
        """Have a version answer whoever names none; the one that did so stays for whoever names it.

        Args:
            to: a new version, or one that is there.
        Returns:
            Versions that are no longer there, once no request is answered with them.
        """
        with self._changed:
            before = self._all
            self._all = (to, before[0]) if to is not before[0] else before
            dropped = [each for each in before if each not in self._all]
            self._changed.wait_for(lambda: not any(each.in_use for each in dropped))
        return dropped

    def _holding(self, name: str, version: str | None) -> ServedVersion:
        among = self._all if version else self._all[:1]
        for each in among:
            if name in each.models and version in (None, "", each.number):
                return each
        asked = f"{name} version {version}" if version else name
        there = ", ".join(f"{model} version {each.number}" for each in self._all for model in each.models)
        raise UnknownModelError(f"model {asked[:100]} does not exist here: ask for {there}.")
