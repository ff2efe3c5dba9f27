"""A published dataset version into a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from secondread.atomic import atomic_file, atomic_folder, one_at_a_time, sha256_file
from secondread.data.store.contents import Contents, Part, read_contents, read_part
from secondread.data.store.publish import in_parallel
from secondread.data.store.store import Store
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
from secondread.errors import InputError, IntegrityError
from secondread.progress import track

_ABBREVIATED = 7  # characters of a content hash from which on a part of it will do


def fetch(store: Store, name: str, folder: Path) -> DatasetVersion:
    """Fetch a version. The folder appears whole or not at all; a fetch that was cut goes on where it was.

    Args:
        store: opened at the root of the versions.
        name: content hash, or its first characters, seven or more.
        folder: to write. What has arrived is kept beside it until all is there.
    Raises:
        InputError: the store has no such version, or the folder cannot be written.
        IntegrityError: what arrived is not what was published.
        DependencyError: as the store says.
    """
    contents, there = find(store, name), (folder / DATASET_FILE).is_file()
    with one_at_a_time(folder.absolute()):
        # who waited for somebody that fetched the same has it; a folder from before is fetched over again
        if there or not _is(folder, contents.content_hash):
            _fetch_all(store, contents, folder)
    return DatasetVersion.open(folder)


def _is(folder: Path, content_hash: str) -> bool:
    return (folder / DATASET_FILE).is_file() and DatasetVersion.open(folder).content_hash == content_hash


def _fetch_all(store: Store, contents: Contents, folder: Path) -> None:
    """Fetch what is not there yet, then put it in place."""
    arrived = folder.absolute().with_name(f".{folder.absolute().name}.{contents.content_hash[:12]}.fetched")
    try:
        with atomic_folder(folder, marker=DATASET_FILE) as aside:
            arrived.mkdir(exist_ok=True)
            fetching = in_parallel(contents.parts, lambda part: _fetch(store, contents, part, arrived))
            for _ in track(fetching, "fetching", total=len(contents.parts)):
                pass
            for part in contents.parts:
                _move(arrived / part.sha256, aside / part.file)
            if DatasetVersion.open(aside).content_hash != contents.content_hash:
                raise IntegrityError(f"{store.uri}/{contents.content_hash} holds another version. Publish it again.")
    except OSError as error:
        raise InputError(
            f"cannot write {folder}: {error.strerror}. Free space or choose another folder, and fetch again: it goes "
            "on where it stopped."
        ) from error
    shutil.rmtree(arrived)


def find(store: Store, name: str) -> Contents:
    """The one published version of a name.

    Args:
        store: opened at the root of the versions.
        name: content hash, or its first characters, seven or more.
    Raises:
        InputError: there is none, or several.
    """
    found = read_contents(store, name) if len(name) == 64 else None
    if found is None and len(name) >= _ABBREVIATED:
        candidates = [read_contents(store, item) for item in store.folders() if item.startswith(name)]
        whole = [item for item in candidates if item is not None]
        found = whole[0] if len(whole) == 1 else None
    if found is None:
        raise InputError(
            f"{store.uri} has no version '{name}' that is whole. Give {_ABBREVIATED} or more characters of its hash: "
            f"`secondread data list {store.uri}` shows them."
        )
    return found


def _fetch(store: Store, contents: Contents, part: Part, arrived: Path) -> None:
    """Have a part among what has arrived, under the name of its hash."""
    path = arrived / part.sha256
    if path.is_file() and sha256_file(path) == part.sha256:
        return
    data = read_part(store, contents, part)
    with atomic_file(path) as aside:
        aside.write_bytes(data)


def _move(part: Path, file: Path) -> None:
    """Put a part behind those of its file that were moved before."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as whole, part.open("rb") as piece:
        shutil.copyfileobj(piece, whole)
