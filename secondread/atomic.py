"""Files and folders that are either whole or absent: written aside, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from secondread.errors import InputError, IntegrityError

_CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Give a path to write to; it takes the name `path` only when the block ends without an error.

    Raises:
        InputError: the folder cannot be written.
    """
    path = Path(path)
    aside = _aside(path)
    try:
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Give an empty folder to fill; it replaces `path` only when the block ends without an error.

    Raises:
        InputError: the parent folder cannot be written.
    """
    path = Path(path)
    aside = _aside(path)
    aside.mkdir()
    try:
        yield aside
        if path.exists():
            old = _aside(path)
            os.replace(path, old)
            os.replace(aside, path)
            shutil.rmtree(old)
        else:
            os.replace(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _aside(path: Path) -> Path:
    """An unused hidden name beside `path`, on the same file system so that a rename is atomic."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        name = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}. Choose a folder that you may write to, or free space."
        ) from error
    name.rmdir()
    return name


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, hex, read in chunks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def write_json(path: Path | str, document: Any) -> None:
    """Write a JSON document, whole or not at all, keys in the order given."""
    with atomic_file(path) as aside:
        aside.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path | str) -> Any:
    """Read a JSON document.

    Raises:
        IntegrityError: the file is missing or is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise IntegrityError(f"{path} is missing. Run the step that writes it again.") from error
    except ValueError as error:
        raise IntegrityError(f"{path} is damaged ({error}). Run the step that writes it again.") from error
