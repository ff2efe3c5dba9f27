"""What lies in a store under a prefix, as a folder: fetched in parallel, and only what is not there already.

    <folder>/content/            the objects as files, under their own keys
    <folder>/listing.json        size, etag and time of each: written when all are there
    <folder>/journal.jsonl       the same, a line an object, while they arrive
    <folder>/partial/            objects that have not arrived whole; they go on where they were cut

A file is what the store listed if it has the size and the time that were noted when it arrived. Whoever reads the
content holds a lock on the folder, so that nobody changes it meanwhile.

No message holds a key, which may hold a patient's name: what a step says when it ends is kept by its cluster.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import threading
import weakref
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from secondread.atomic import atomic_file, sha256_bytes, write_json
from secondread.data.store.retry import again
from secondread.data.store.store import THREADS, Listed, ObjectStore
from secondread.errors import DependencyError, InputError, IntegrityError, TooLargeError
from secondread.logging import get_logger
from secondread.progress import track

LISTING_FILE = "listing.json"
CONTENT = "content"
_JOURNAL, _PARTIAL, _LOCK = "journal.jsonl", "partial", "lock"
_LONGEST_NAME = 255  # bytes of one part of a path, on the usual file systems

Noted = tuple[int, str, int]  # size, etag, and the file's time of change in nanoseconds

log = get_logger(__name__)


@dataclass(frozen=True)
class MirrorLimits:
    """Bounds on what is fetched."""

    max_objects: int = 1_000_000  # as of archives; NIH ChestX-ray14, the largest set known here, has 112,120
    max_total_bytes: int = 200 << 30  # NIH ChestX-ray14 is 45 GB


DEFAULT_LIMITS = MirrorLimits()


class Mirror:
    """A folder that holds what a store listed, and a lock on it for as long as this object lives.

    Attributes:
        content: the folder with the files.
    """

    def __init__(self, content: Path, lock: int) -> None:
        self.content = content
        weakref.finalize(self, os.close, lock)


def list_objects(store: ObjectStore, start: str = "", *, limits: MirrorLimits = DEFAULT_LIMITS) -> list[Listed]:
    """The objects below the store's root whose keys begin so, every key fit to be a file's name.

    Raises:
        InputError: there is none, or one that can be no file inside a folder.
        TooLargeError: there is more than the limits allow.
    """
    found = store.objects(start, at_most=limits.max_objects + 1)
    objects = _without_folders(found)
    if not objects:
        raise InputError(f"{store.uri} has no object{f' {start}' if start else ''}. Correct the URI.")
    if len(found) > limits.max_objects:
        raise TooLargeError(f"{store.uri} has more than {limits.max_objects} objects. Name a smaller prefix.")
    total = sum(item.size for item in objects)
    if total > limits.max_total_bytes:
        raise TooLargeError(
            f"{store.uri} holds {total} bytes, more than the {limits.max_total_bytes} that are fetched. "
            "Name a smaller prefix."
        )
    _check_keys(store, [item.key for item in objects])
    return objects


def listing_hash(objects: Iterable[Listed]) -> str:
    """SHA-256, hex, over keys, sizes and etags: another after every change in the store."""
    rows = sorted([item.key, item.size, item.etag] for item in objects)
    return sha256_bytes(json.dumps(rows).encode())


def mirror(store: ObjectStore, objects: Sequence[Listed], folder: Path) -> Mirror:
    """Have a store's objects in a folder, and nothing else there.

    Args:
        store: that listed them.
        objects: from `list_objects`.
        folder: of this store alone.
    Raises:
        InputError: the folder cannot be written.
        IntegrityError: an object changed, or went away, since it was listed.
        DependencyError: as the store says; or another process is using the folder. What has arrived is kept.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        held = Mirror(folder / CONTENT, lock)
        try:
            _lock(lock, fcntl.LOCK_SH, store)
            if not _is_whole(folder, objects):
                _lock(lock, fcntl.LOCK_EX, store)
                _update(store, objects, folder)
                _lock(lock, fcntl.LOCK_SH, store)
        except BaseException:
            fcntl.flock(lock, fcntl.LOCK_UN)  # the error keeps this frame alive
            raise
    except OSError as error:
        raise InputError(
            f"cannot keep {store.uri} in {folder}: {error.strerror}. Free space, or set SECONDREAD_HOME to another "
            "folder; then run it again: it goes on where it stopped."
        ) from error
    return held


def _without_folders(found: Sequence[Listed]) -> list[Listed]:
    """Without the empty objects that tools make for folders: the root's own, `a/`, and `a` where `a/b` follows."""
    folders = _folders_of(item.key for item in found) | {""}
    return [item for item in found if item.size or not (item.key.endswith("/") or item.key in folders)]


def _folders_of(keys: Iterable[str]) -> set[str]:
    """Every folder above the keys, but for the root."""
    parts = (key.split("/") for key in keys)
    return {"/".join(key[:depth]) for key in parts for depth in range(1, len(key))}


def _check_keys(store: ObjectStore, keys: Sequence[str]) -> None:
    """Refuse what would not be a file in a folder of its own."""
    if strange := sum(map(_is_strange, keys)):
        raise InputError(
            f"{store.uri} has objects that can be no file in a folder ({strange} of {len(keys)}): a part of the key is "
            f"empty, . or .., has more than {_LONGEST_NAME} bytes, or a zero byte. Rename them."
        )
    folders = _folders_of(keys)
    if both := sum(key in folders for key in keys):
        raise InputError(
            f"{store.uri} has objects whose keys are folders of others ({both} of {len(keys)}), as a is of a/b. "
            "Rename them."
        )


def _is_strange(key: str) -> bool:
    parts = key.split("/")
    return "\0" in key or any(part in ("", ".", "..") or len(part.encode()) > _LONGEST_NAME for part in parts)


def _lock(lock: int, kind: int, store: ObjectStore) -> None:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DependencyError(
            f"another process is fetching {store.uri}, or reading what it was before it changed. Wait for it to end."
        ) from None


def _update(store: ObjectStore, objects: Sequence[Listed], folder: Path) -> None:
    """Remove what is listed no more, and fetch what is missing or has changed."""
    noted = _noted(folder)
    wanted = {item.key for item in objects}
    noted = {key: noted[key] for key in sorted(wanted & set(noted))}
    with atomic_file(folder / _JOURNAL) as aside:
        aside.write_text("".join(json.dumps([key, *noted[key]]) + "\n" for key in noted), encoding="utf-8")
    (folder / LISTING_FILE).unlink(missing_ok=True)  # from here on it is not whole
    _remove_others(folder / CONTENT, wanted)
    missing = [item for item in objects if not _is_there(folder, item, noted)]
    log.info("fetching %d of %d objects of %s", len(missing), len(objects), store.uri)
    (folder / _PARTIAL).mkdir(exist_ok=True)
    _fetch_all(store, missing, folder, noted)
    write_json(folder / LISTING_FILE, {"uri": store.uri, "objects": {key: noted[key] for key in sorted(wanted)}})
    (folder / _JOURNAL).unlink()
    shutil.rmtree(folder / _PARTIAL)


def _fetch_all(store: ObjectStore, missing: Sequence[Listed], folder: Path, noted: dict[str, Noted]) -> None:
    """Fetch some at a time, and note each that has arrived."""
    writing, stopping = threading.Lock(), threading.Event()
    with (folder / _JOURNAL).open("a", encoding="utf-8") as journal, ThreadPoolExecutor(THREADS) as threads:

        def fetch(item: Listed) -> None:
            arrived = again(lambda: _fetch(store, item, folder, stopping))
            with writing:
                noted[item.key] = arrived
                journal.write(json.dumps([item.key, *arrived]) + "\n")
                journal.flush()

        futures = [threads.submit(fetch, item) for item in missing]
        try:
            for future in track(as_completed(futures), "fetching", total=len(missing)):
                future.result()
        except BaseException:
            stopping.set()  # an archive may take an hour
            threads.shutdown(cancel_futures=True)
            raise


def _noted(folder: Path) -> dict[str, Noted]:
    """What is known to have arrived; nothing of a record that is damaged."""
    noted: dict[str, Noted] = {}
    try:
        document = json.loads((folder / LISTING_FILE).read_text(encoding="utf-8"))
        noted = {key: (size, etag, time) for key, (size, etag, time) in document["objects"].items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        noted = {}
    if (folder / _JOURNAL).is_file():
        for line in (folder / _JOURNAL).read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                key, size, etag, time = json.loads(line)
            except (ValueError, TypeError):
                continue  # the last line of a process that was killed
            noted[key] = (size, etag, time)
    return noted


def _is_whole(folder: Path, objects: Sequence[Listed]) -> bool:
    if not (folder / LISTING_FILE).is_file():
        return False
    noted = _noted(folder)
    return len(noted) == len(objects) and all(_is_there(folder, item, noted) for item in objects)


def _is_there(folder: Path, item: Listed, noted: dict[str, Noted]) -> bool:
    known = noted.get(item.key)
    if known is None or known[:2] != (item.size, item.etag):
        return False
    try:
        found = (folder / CONTENT / item.key).stat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (item.size, known[2])


def _remove_others(content: Path, wanted: set[str]) -> None:
    """Files that are listed no more, and the folders that they leave empty."""
    content.mkdir(exist_ok=True)
    for root, folders, files in os.walk(content, topdown=False):
        for name in files:
            path = Path(root, name)
            if path.relative_to(content).as_posix() not in wanted:
                path.unlink()
        for name in folders:
            path = Path(root, name)
            if path.is_symlink():  # of somebody else; nothing here makes one
                path.unlink()
            elif not any(path.iterdir()):
                path.rmdir()


def _fetch(store: ObjectStore, item: Listed, folder: Path, stopping: threading.Event) -> Noted:
    """Have one object as a file. What is there of it from before is not fetched again."""
    partial = folder / _PARTIAL / sha256_bytes(json.dumps([item.key, item.size, item.etag]).encode())
    with partial.open("ab") as file:
        # of a piece that is whole already the last byte comes again, with what the store says of it
        start = min(file.tell(), max(item.size - 1, 0))
        file.truncate(start)
        with store.stream(item.key, start) as stream:
            if stream is None or stream.etag != item.etag:
                state = "was removed" if stream is None else "changed"
                raise IntegrityError(
                    f"an object of {store.uri} {state} while it was read. Run it again when nobody writes there."
                )
            for chunk in stream.chunks:
                file.write(chunk)
                if stopping.is_set():
                    raise IntegrityError(f"{store.uri} was not fetched to its end. Run it again.")
        is_md5 = stream.is_md5
    if partial.stat().st_size != item.size or (is_md5 and _md5(partial) != item.etag):
        partial.unlink()
        raise DependencyError(f"an object of {store.uri} arrived damaged. Run it again.")
    path = folder / CONTENT / item.key
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(partial, path)
    return item.size, item.etag, path.stat().st_mtime_ns


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
