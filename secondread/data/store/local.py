"""A folder as a store, on this machine or mounted."""

from __future__ import annotations

import errno
from pathlib import Path

from secondread.atomic import atomic_file, sha256_file
from secondread.data.store.store import Stored
from secondread.errors import DependencyError, InputError


class LocalStore:
    """Objects are files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = str(root)
        if root.exists() and not root.is_dir():
            raise InputError(f"{root} is a file. Name a folder to keep dataset versions in.")

    def folders(self) -> list[str]:
        """Names of the folders right below the root, sorted."""
        return sorted(path.name for path in self.root.iterdir() if path.is_dir()) if self.root.is_dir() else []

    def stat(self, key: str) -> Stored | None:
        """What is stored under a key; None if nothing. The file is read."""
        path = self.root / key
        return Stored(path.stat().st_size, sha256_file(path)) if path.is_file() else None

    def read(self, key: str) -> bytes | None:
        """An object's bytes; None if there is no such object."""
        path = self.root / key
        try:
            return path.read_bytes() if path.is_file() else None
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}. Ask for the right to read it.") from error

    def read_range(self, key: str, offset: int, size: int) -> bytes | None:
        """`size` bytes of an object from `offset` on; None if there is no such object."""
        path = self.root / key
        try:
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}. Ask for the right to read it.") from error

    def write(self, key: str, data: bytes, *, sha256: str) -> None:  # noqa: ARG002 - the file is read when asked
        """Store an object: whole and as sent, or not at all."""
        path = self.root / key
        try:
            with atomic_file(path) as aside:
                aside.write_bytes(data)
        except OSError as error:
            kind = DependencyError if error.errno in (errno.ENOSPC, errno.EDQUOT) else InputError
            raise kind(f"cannot write {path}: {error.strerror}. Free space, or name another folder.") from error
