"""A model repository as a folder of this machine, wherever it lies."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from secondread.atomic import sha256_bytes
from secondread.config.environment import Environment
from secondread.data.store.mirror import list_objects, mirror
from secondread.data.store.open import is_stored, open_object_store


@contextlib.contextmanager
def opened_repository(uri: str, environment: Environment, *, keep: bool = True) -> Iterator[Path]:
    """A repository as a folder of this machine; one in a store is fetched to `<home>/sources/models/`, once.

    Nothing is verified here.

    Args:
        uri: `storage_uri` of a version.
        environment: endpoints, credentials and the folder of what is fetched.
        keep: what is fetched, for the next time; if not, it goes to a temporary folder, and is removed again.
    Raises:
        InputError, DependencyError: as the store says.
    """
    if not is_stored(uri):
        yield Path(uri)
        return
    store = open_object_store(uri, environment)
    kept = contextlib.nullcontext(environment.home / "sources" / "models")
    with kept if keep else tempfile.TemporaryDirectory(prefix="secondread-model-") as models:
        held = mirror(store, list_objects(store), Path(models, sha256_bytes(uri.encode())[:32]))
        yield held.content
        del held  # the lock on what was fetched
