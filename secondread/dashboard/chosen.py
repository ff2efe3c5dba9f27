"""What every page is given: the versions at the root, and the one that was chosen. What was read once is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from secondread.config.environment import Environment
from secondread.dashboard.images import Images, read_images
from secondread.dashboard.shelf import Held, Shelf, versions_at
from secondread.data.store.local import LocalStore
from secondread.data.store.open import open_store
from secondread.data.store.store import Store

_KEPT = 8  # versions in memory; 125,100 images take 10 MB


@dataclass(frozen=True)
class Chosen:
    """The versions at the root, and the one that was chosen.

    Attributes:
        shelf: all of them.
        held: the one.
        images: what is in it.
        cache: folder for what is fetched or computed once.
    """

    shelf: Shelf
    held: Held
    images: Images
    cache: Path


def look(root: str) -> Shelf:
    """What lies at a root. A folder is looked at every time, a server once a minute.

    Raises:
        InputError, DependencyError: as `open_store` says.
    """
    environment = Environment.read()
    store = open_store(root, environment) if "://" not in root else _server(root)
    if isinstance(store, LocalStore):
        return versions_at(store, cache_folder())
    return _listed(store, root)


def cache_folder() -> Path:
    """Where the dashboard keeps what it fetched or computed."""
    return Environment.read().home / "dashboard"


def images_of(held: Held) -> Images:
    """What is in a version.

    Raises:
        IntegrityError: it is damaged.
    """
    return _images(held.key, held)


@st.cache_resource(max_entries=4, show_spinner="Asking the store…")
def _server(root: str) -> Store:
    return open_store(root, Environment.read())


@st.cache_resource(ttl=60, max_entries=4, show_spinner="Looking which versions there are…")
def _listed(_store: Store, root: str) -> Shelf:  # noqa: ARG001 - what is kept is kept by the root
    return versions_at(_store, cache_folder())


@st.cache_data(max_entries=_KEPT, show_spinner="Reading the manifest…")
def _images(key: str, _held: Held) -> Images:  # noqa: ARG001 - what is kept is kept by the key
    return read_images(_held)
