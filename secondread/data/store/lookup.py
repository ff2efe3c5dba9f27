"""From a URI to one dataset version, whether it is a folder or published in a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from secondread.config.environment import Environment
from secondread.data.manifest import MANIFEST_FILE
from secondread.data.store.contents import COMPLETE
from secondread.data.store.fetch import fetch, find
from secondread.data.store.open import is_stored, open_store
from secondread.data.store.same import holds
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
from secondread.errors import InputError


@dataclass(frozen=True)
class NamedVersion:
    """A dataset version that a URI names.

    Attributes:
        uri: that names the same one from anywhere, for as long as it exists.
        content_hash: of the version.
    """

    uri: str
    content_hash: str


def name_version(uri: str, environment: Environment) -> NamedVersion:
    """What a URI names: a folder that `data preprocess` wrote, or what `data publish` printed.

    Raises:
        InputError: there is none.
        DependencyError: as the store says.
    """
    folder = _plain_folder(uri)
    if folder:
        return NamedVersion(str(folder.resolve()), DatasetVersion.open(folder).content_hash)
    root, name = _root_and_name(uri)
    store = open_store(root, environment)
    content_hash = find(store, name).content_hash
    return NamedVersion(f"{store.uri}/{content_hash}", content_hash)


def name_parent(uri: str, environment: Environment) -> NamedVersion:
    """The version that a published one grew from, where both are published in one place.

    Args:
        uri: of the child, as `name_version` takes it.
        environment: endpoints and credentials.
    Raises:
        InputError: the child has no parent, its parent is not published there, or it is a folder, whose parent is
            anywhere.
        DependencyError: as the store says.
    """
    folder = _plain_folder(uri)
    if folder:
        raise InputError(f"{uri} does not say where the version is that it grew from. Name it with --parent.")
    root, name = _root_and_name(uri)
    parent = find(open_store(root, environment), name).summary.get("parent")
    if not parent:
        raise InputError(f"the dataset version {uri} grew from no other. Name a child version, or --parent.")
    return name_version(f"{root}/{parent}", environment)


def open_version(uri: str, environment: Environment) -> DatasetVersion:
    """Open it; one that is published is fetched to `<home>/sources/versions/`, once.

    Args:
        uri: as `name_version` takes it.
        environment: endpoints, credentials and the folder of what is fetched.
    """
    folder = _plain_folder(uri)
    if folder:
        return DatasetVersion.open(folder)
    root, name = _root_and_name(uri)
    store = open_store(root, environment)
    contents = find(store, name)
    kept = environment.home / "sources" / "versions" / contents.content_hash
    # its name does not tell the ages and patients of one place from those of another
    if all(holds(kept, contents, record) for record in (DATASET_FILE, MANIFEST_FILE)):
        return DatasetVersion.open(kept)
    return fetch(store, contents.content_hash, kept)


def _plain_folder(uri: str) -> Path | None:
    """The folder of a version that is not published: large files of one that is may lie there in parts."""
    path = Path(uri.removeprefix("file://")).expanduser()
    plain = not is_stored(uri) and path.is_dir() and not (path / COMPLETE).is_file()
    return path if plain else None


def _root_and_name(uri: str) -> tuple[str, str]:
    root, slash, name = uri.rstrip("/").rpartition("/")
    if not slash or not name:
        raise InputError(f"'{uri}' names no dataset version. Use its folder, or the URI that `data publish` printed.")
    return root, name
