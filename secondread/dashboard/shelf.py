"""Which dataset versions lie at a root, and how their files are read: whole records, and pieces of the pixels.

A root is a folder of version folders as `data preprocess` writes them, or any place that `data publish` wrote to. The
manifest and other records of a published version are fetched once, checked, and kept; of its pixels only the few
pictures that are shown are read, each by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from secondread.atomic import atomic_folder, read_json, sha256_bytes
from secondread.data.manifest import MANIFEST_FILE, SPLITS
from secondread.data.store.contents import COMPLETE, Contents, Part, read_contents
from secondread.data.store.local import LocalStore
from secondread.data.store.publish import in_parallel
from secondread.data.store.store import Store
from secondread.data.versions.dataset import DATASET_FILE
from secondread.data.versions.shards import shard_file
from secondread.errors import IntegrityError

_SHARDS = frozenset(shard_file(split) for split in SPLITS)
_PUBLISHED_NAME = re.compile(r"[0-9a-f]{64}")


class Held(Protocol):
    """A dataset version at a root."""

    @property
    def title(self) -> str:
        """What people choose it by."""

    @property
    def content_hash(self) -> str:
        """SHA-256, hex."""

    @property
    def parent(self) -> str:
        """Content hash of the version it grew from; empty if none."""

    @property
    def key(self) -> str:
        """Another one whenever any of its records is; what is computed from them is kept under it."""

    @property
    def near(self) -> bool:
        """It is on this machine, so that reading many pictures costs nothing."""

    def records(self) -> Path:
        """A folder with its files, but for the pixels: `dataset.json`, `manifest.parquet` and what else there is."""

    def read(self, file: str, offset: int, size: int) -> bytes:
        """Bytes of one of its files."""


@dataclass(frozen=True)
class Shelf:
    """What lies at a root.

    Attributes:
        uri: of the root.
        versions: in the order of their titles.
        problems: a line for each that cannot be shown.
    """

    uri: str
    versions: tuple[Held, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class HeldFolder:
    """A version in a folder of its own, as `data preprocess` writes it."""

    folder: Path
    title: str
    content_hash: str
    parent: str
    key: str
    near: bool = True

    def records(self) -> Path:
        """The folder itself."""
        return self.folder

    def read(self, file: str, offset: int, size: int) -> bytes:
        """Bytes of one of its files."""
        try:
            with (self.folder / file).open("rb") as stream:
                stream.seek(offset)
                data = stream.read(size)
        except OSError as error:
            raise IntegrityError(
                f"{self.folder / file} cannot be read ({error.strerror}). Run preprocess again."
            ) from error
        return _whole(data, size, f"{self.folder / file}")


@dataclass(frozen=True)
class HeldObjects:
    """A version that was published, in parts."""

    store: Store
    contents: Contents
    cache: Path
    title: str
    content_hash: str
    parent: str
    key: str
    near: bool

    def records(self) -> Path:
        """A copy of the records, fetched when it is asked for the first time."""
        folder = self.cache / "records" / self.key
        if not (folder / DATASET_FILE).is_file():
            parts = [part for part in self.contents.parts if part.file not in _SHARDS]
            with atomic_folder(folder, marker=DATASET_FILE) as aside:
                fetched = dict(in_parallel(parts, lambda part: (part.key, self._checked(part))))
                for part in parts:
                    path = aside / part.file
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("ab") as whole:
                        whole.write(fetched[part.key])
        return folder

    def read(self, file: str, offset: int, size: int) -> bytes:
        """Bytes of one of its files, by a request for just these."""
        found = []
        for part in self.contents.parts:
            start, end = max(offset, part.offset), min(offset + size, part.offset + part.size)
            if part.file == file and start < end:
                key = f"{self.content_hash}/{part.key}"
                data = self.store.read_range(key, start - part.offset, end - start)
                found.append(_whole(data or b"", end - start, f"{self.store.uri}/{key}"))
        return _whole(b"".join(found), size, f"{self.store.uri}/{self.content_hash}/{file}")

    def _checked(self, part: Part) -> bytes:
        data = self.store.read(f"{self.content_hash}/{part.key}")
        if data is None or sha256_bytes(data) != part.sha256:
            state = "is missing" if data is None else "is damaged"
            where = f"{self.store.uri}/{self.content_hash}/{part.key}"
            raise IntegrityError(f"{where} {state}. Remove {COMPLETE} beside it and publish the version again.")
        return data


def versions_at(store: Store, cache: Path) -> Shelf:
    """Look what lies at a root; only the small record of each version is read.

    Args:
        store: opened at the root.
        cache: folder where records of published versions are kept.
    """
    versions: list[Held] = []
    problems: list[str] = []
    root = store.root if isinstance(store, LocalStore) else None
    if root is not None and (root / DATASET_FILE).is_file():
        names, folders = [], [root]
    else:
        names = [name for name in store.folders() if not name.startswith(".")]
        folders = [root / name for name in names if _is_folder_version(root / name)] if root is not None else []
    for folder in folders:
        try:
            versions.append(_folder(folder))
        except IntegrityError as error:
            problems.append(str(error))
    published = [name for name in names if _PUBLISHED_NAME.fullmatch(name)]
    for found in in_parallel(published, lambda name: _published(store, name, cache)):
        if isinstance(found, str):
            problems.append(found)
        elif found is not None:
            versions.append(found)
    return Shelf(store.uri, tuple(sorted(versions, key=lambda held: held.title)), tuple(sorted(problems)))


def _is_folder_version(folder: Path) -> bool:
    """A folder whose name is a whole content hash was published, and may not be whole."""
    return (folder / DATASET_FILE).is_file() and not _PUBLISHED_NAME.fullmatch(folder.name)


def _folder(folder: Path) -> HeldFolder:
    document = read_json(folder / DATASET_FILE)
    try:
        content_hash, parent = str(document["content_hash"]), str(document["parent"])
        changed = (folder / MANIFEST_FILE).stat().st_mtime_ns
    except (KeyError, TypeError) as error:
        raise IntegrityError(f"{folder / DATASET_FILE} is not complete ({error}). Run preprocess again.") from error
    except OSError as error:
        raise IntegrityError(f"{folder / MANIFEST_FILE} is missing. Run preprocess again.") from error
    title = f"{folder.resolve().name} ({content_hash[:12]})"
    return HeldFolder(folder, title, content_hash, parent, key=f"{content_hash}-{changed}-{folder}")


def _published(store: Store, name: str, cache: Path) -> HeldObjects | str | None:
    """A version, what is wrong with it, or None where it is not there as a whole."""
    try:
        contents = read_contents(store, name)
    except IntegrityError as error:
        return str(error)
    if contents is None:
        return None
    records = sorted(f"{part.key} {part.sha256}" for part in contents.parts if part.file not in _SHARDS)
    return HeldObjects(
        store,
        contents,
        cache,
        title=contents.content_hash[:12],
        content_hash=contents.content_hash,
        parent=str(contents.summary.get("parent", "")),
        key=sha256_bytes("\n".join(records).encode()),
        near=isinstance(store, LocalStore),
    )


def _whole(data: bytes, size: int, where: str) -> bytes:
    if len(data) != size:
        raise IntegrityError(f"{where} has fewer bytes than it should. Write the version again, or publish it again.")
    return data


def document_of(held: Held) -> dict[str, Any]:
    """Its `dataset.json`.

    Raises:
        IntegrityError: it is damaged.
    """
    document = read_json(held.records() / DATASET_FILE)
    if not isinstance(document, dict) or not {"taxonomy", "preprocessing", "counts", "synthetic"} <= document.keys():
        raise IntegrityError(f"dataset.json of version {held.title} is not complete. Run preprocess again.")
    return document
