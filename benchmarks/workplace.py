"""What several benchmarks share: the folder they write into, the films, and models that were really trained."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from benchmarks.films import Films, find_films
from benchmarks.trained import DEFAULT, SEED, SERVED, Trained, trained_model

ROOT = Path(__file__).resolve().parents[1]


class Workplace:
    """Where benchmarks are run. What is costly is made on first use.

    Args:
        home: folder to write into; kept, so that the next run finds the model and the phantom films.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    @cached_property
    def films(self) -> Films:
        """JPEG films of 512 pixels."""
        return find_films(self.home, root=ROOT)

    @cached_property
    def trained(self) -> Trained:
        """A model of the default preset, trained on phantoms, with its dataset version."""
        return trained_model(self.home, DEFAULT)

    @cached_property
    def trained_served(self) -> Trained:
        """A model of the default preset at 64 px."""
        return trained_model(self.home, SERVED)

    @cached_property
    def trained_seed(self) -> Trained:
        """The seed's network, trained likewise."""
        return trained_model(self.home, SEED)
