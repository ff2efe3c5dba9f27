"""A dataset version into a store, and which versions a store has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from secondread.atomic import sha256_bytes
from secondread.data.sources.names import readable_name
from secondread.data.store.contents import (
    COMPLETE,
    Contents,
    Part,
    describe,
    other_files,
    read_contents,
    version_files,
    with_audit,
)
from secondread.data.store.same import check_same
from secondread.data.store.store import THREADS, Store, Stored
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import IntegrityError
from secondread.logging import get_logger
from secondread.progress import track

_NAMED = 5  # files that a line of the log names

log = get_logger(__name__)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Published:
    """What publishing did.

    Attributes:
        uri: of the version.
        sent: objects that were sent now.
        there: objects that were there already.
        size: bytes of all files.
    """

    uri: str
    sent: int
    there: int
    size: int


def publish(version: DatasetVersion, store: Store, *, audit: Path | None = None) -> Published:
    """Store a dataset version. It can be seen once all of it is there; what is there already is not sent again.

    Only what a version consists of is stored (see `contents`), whatever else lies in its folder; the log says what. An
    audit is no part of what the version is named by: one that is published without gets it later, and keeps it.

    Args:
        version: opened.
        store: at the root of the versions.
        audit: folder of the version's audit; None: the folder `audit` of the version, if there is one.
    Raises:
        InputError, DependencyError: as the store says; or what is published under this name has other metadata.
        IntegrityError: a file changed while it was sent, or the audit is of another version.
    """
    _tell_of_others(version)
    uri, files = f"{store.uri}/{version.content_hash}", version_files(version, audit)
    done = read_contents(store, version.content_hash)
    if done:
        check_same(version, done, store)
    contents = describe(version, files) if done is None else with_audit(done, files)
    missing = contents.parts[len(done.parts) :] if done else contents.parts
    if not missing:
        return Published(uri, sent=0, there=len(contents.parts), size=contents.size)
    sending = in_parallel(missing, lambda part: _send(files[part.file], part, store, version.content_hash))
    sent = sum(track(sending, "publishing", total=len(missing)))
    record = contents.to_json()
    store.write(f"{version.content_hash}/{COMPLETE}", record, sha256=sha256_bytes(record))
    return Published(uri, sent=sent, there=len(contents.parts) - sent, size=contents.size)


def _tell_of_others(version: DatasetVersion) -> None:
    """Somebody may have put it there to be published, or by mistake what must not be."""
    others = [readable_name(name) for name in other_files(version)]
    if others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        log.warning(
            "not published, since it is no part of a dataset version: %s%s in %s",
            ", ".join(others[:_NAMED]),
            more,
            version.root,
        )


def _send(path: Path, part: Part, store: Store, content_hash: str) -> bool:
    """Send a part of a file, unless it is there; whether it was sent."""
    key = f"{content_hash}/{part.key}"
    if store.stat(key) == Stored(part.size, part.sha256):
        return False
    with path.open("rb") as file:
        file.seek(part.offset)
        data = file.read(part.size)
    if sha256_bytes(data) != part.sha256:
        raise IntegrityError(f"{path} changed while it was published. Publish it again.")
    store.write(key, data, sha256=part.sha256)
    return True


def published(store: Store) -> list[Contents]:
    """The versions that are whole, by content hash."""
    found = in_parallel(store.folders(), lambda name: read_contents(store, name))
    return sorted((item for item in found if item is not None), key=lambda item: item.content_hash)


def in_parallel(items: Iterable[T], action: Callable[[T], R]) -> Iterator[R]:
    """Do something to each item, some at a time, in any order; after an error nothing more is begun."""
    with ThreadPoolExecutor(THREADS) as threads:
        futures = [threads.submit(action, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            threads.shutdown(cancel_futures=True)
