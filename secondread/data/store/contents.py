"""What a published version consists of: the object `_COMPLETE.json`, which is stored last.

    <root>/<content hash>/dataset.json             the version's files, under their own names
    <root>/<content hash>/images-train.npy.part-00000, ...   a file of more than 16 MiB, in parts
    <root>/<content hash>/_COMPLETE.json           name, size and SHA-256 of each file and part

A version without its last object is not there: it is neither listed nor fetched. Of the version's folder only that is
stored which a version consists of: `dataset.json`, `manifest.parquet`, `rejected.parquet`, the pixels of each split,
and its audit in `audit/`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from secondread.atomic import read_json
from secondread.data.manifest import MANIFEST_FILE, REJECTED_FILE, SPLITS
from secondread.data.store.store import Store
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
from secondread.data.versions.shards import shard_file
from secondread.errors import IntegrityError
from secondread.logging import get_logger

COMPLETE = "_COMPLETE.json"
PART_BYTES = 16 << 20  # sent in a second or so, and what a kill costs at most, for each request under way
_FORMAT = 1
# As `secondread.data.audit.report` names them, which takes seconds to load.
AUDIT_FOLDER = "audit"
_AUDIT_JSON = "audit.json"
_AUDIT = ("audit.html", _AUDIT_JSON)
_RECORDS = (DATASET_FILE, MANIFEST_FILE, REJECTED_FILE, *(shard_file(split) for split in SPLITS))

log = get_logger(__name__)


@dataclass(frozen=True)
class Part:
    """One object of a version: a file, or a piece of one.

    Attributes:
        key: below the version's folder.
        file: name of the file that it belongs to.
        offset: of its first byte in the file.
        size: bytes.
        sha256: hex.
    """

    key: str
    file: str
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Contents:
    """A published version: what it is, and the objects that hold it."""

    content_hash: str
    summary: dict[str, Any]
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(part.size for part in self.parts)

    def to_json(self) -> bytes:
        """The last object."""
        parts = [asdict(part) for part in self.parts]
        document = {"format": _FORMAT, "content_hash": self.content_hash, "summary": self.summary, "parts": parts}
        return json.dumps(document, indent=1).encode()


def read_contents(store: Store, name: str) -> Contents | None:
    """What a version consists of; None where it is not, or not yet, published.

    Raises:
        IntegrityError: the record is damaged, of a later library, or names a file outside its folder.
    """
    data = store.read(f"{name}/{COMPLETE}")
    if data is None:
        return None
    where = f"{store.uri}/{name}/{COMPLETE}"
    try:
        document = json.loads(data)
        known = document["format"] == _FORMAT
        contents = Contents(
            document["content_hash"], document["summary"], tuple(Part(**part) for part in document["parts"])
        )
        inside = all(_is_inside(text) for part in contents.parts for text in (part.key, part.file))
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{where} is damaged. Remove that folder and publish the version again.") from error
    if not known or not inside or contents.content_hash != name:
        raise IntegrityError(f"{where} is no record that this library reads. Publish the version again.")
    return contents


def read_part(store: Store, contents: Contents, part: Part) -> bytes:
    """An object of a published version, checked.

    Raises:
        IntegrityError: it is missing or damaged.
    """
    data = store.read(f"{contents.content_hash}/{part.key}")
    if data is None or hashlib.sha256(data).hexdigest() != part.sha256:
        state = "is missing" if data is None else "is damaged"
        where = f"{store.uri}/{contents.content_hash}/{part.key}"
        raise IntegrityError(f"{where} {state}. Remove {COMPLETE} beside it and publish the version again.")
    return data


def read_file(store: Store, contents: Contents, name: str) -> bytes:
    """A whole file of a published version, such as a record; empty where it has none. As `read_part` otherwise."""
    return b"".join(read_part(store, contents, part) for part in contents.parts if part.file == name)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def version_files(version: DatasetVersion, audit: Path | None = None) -> dict[str, Path]:
    """The files that a version consists of, by the name that each is published under.

    Args:
        version: opened.
        audit: folder of its audit; None: the folder `audit` of the version, if there is one.
    Raises:
        IntegrityError: the audit is of another version.
    """
    folder = audit or version.root / AUDIT_FOLDER
    files = {name: version.root / name for name in _RECORDS} | {
        f"{AUDIT_FOLDER}/{name}": folder / name for name in _AUDIT
    }
    there = {name: path for name, path in sorted(files.items()) if path.is_file()}
    if f"{AUDIT_FOLDER}/{_AUDIT_JSON}" in there or audit:
        _check_audit(folder, version)
    return there


def _check_audit(folder: Path, version: DatasetVersion) -> None:
    document = read_json(folder / _AUDIT_JSON)
    name = document.get("name") if isinstance(document, dict) else None
    if name != version.name:
        raise IntegrityError(
            f"{folder / _AUDIT_JSON} is no audit of version {version.name}, but of {name}. Audit this version, or "
            "remove that file."
        )


def other_files(version: DatasetVersion) -> list[str]:
    """What else lies in a version's folder, hidden files and records of steps (`_SUCCESS.json`) apart."""
    found = (path for path in version.root.rglob("*") if path.is_file() and path.name[0] not in "._")
    known = {*_RECORDS, *(f"{AUDIT_FOLDER}/{name}" for name in _AUDIT)}
    return sorted({path.relative_to(version.root).as_posix() for path in found} - known)


def describe(version: DatasetVersion, files: Mapping[str, Path] | None = None) -> Contents:
    """What publishing a version would store; every file is read once.

    Args:
        version: opened.
        files: of `version_files`; None: those of the version's folder.
    """
    parts = parts_of(version_files(version) if files is None else files)
    return Contents(version.content_hash, {**version.summary(), "parent": version.parent}, parts)


def parts_of(files: Mapping[str, Path]) -> tuple[Part, ...]:
    """The objects that hold some files, which are read."""
    return tuple(part for name, path in files.items() for part in _parts(path, name))


def with_audit(contents: Contents, files: Mapping[str, Path]) -> Contents:
    """A published version with the audit that is among the files.

    One that is published with an audit keeps it: an object that is replaced would for a while not be what the record of
    the version says of it.
    """
    own = parts_of({name: path for name, path in files.items() if _is_audit(name)})
    published = tuple(part for part in contents.parts if _is_audit(part.file))
    if not published:
        return replace(contents, parts=(*contents.parts, *own))
    if own and own != published:
        log.warning("version %s was published with another audit, which it keeps", contents.content_hash[:12])
    return contents


def _is_audit(name: str) -> bool:
    return name.startswith(f"{AUDIT_FOLDER}/")


def _parts(path: Path, name: str) -> Iterator[Part]:
    size = path.stat().st_size
    with path.open("rb") as file:
        for number, offset in enumerate(range(0, max(size, 1), PART_BYTES)):
            data = file.read(PART_BYTES)
            key = name if size <= PART_BYTES else f"{name}.part-{number:05d}"
            yield Part(key, name, offset, len(data), hashlib.sha256(data).hexdigest())
