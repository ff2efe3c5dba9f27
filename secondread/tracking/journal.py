"""A list on disk that is only ever appended to, in whole lines, and that knows how far it has been sent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from secondread.atomic import read_json, write_json
from secondread.errors import DependencyError

Entry = Mapping[str, Any]


class Journal:
    """Entries in the order in which they were written. Several processes may write, one of them sends.

    Args:
        path: of the file; it appears with the first entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sent = path.with_suffix(".sent.json")

    def append(self, entry: Entry) -> None:
        """Write an entry; it is on the disk when this returns.

        Raises:
            DependencyError: the disk is full, or is gone.
        """
        line = json.dumps(entry).encode() + b"\n"
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    line = b"\n" + line  # whoever wrote last was killed in the middle of a line
                os.write(handle, line)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise DependencyError(f"cannot write {self.path}: {error.strerror}. Free space.") from error

    def entries(self, start: int = 0) -> Iterator[tuple[Entry, int]]:
        """Whole entries from a position on, each with the position behind it, in bytes."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # being written just now, or cut
                start += len(line)
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue  # cut: nobody was told that it was written
                yield entry, start

    def unsent(self) -> Iterator[tuple[Entry, int]]:
        """Whole entries that were not acknowledged, each with the position behind it, in bytes."""
        return self.entries(self.sent_bytes())

    def sent_bytes(self) -> int:
        """Position up to which everything was sent."""
        return int(read_json(self._sent)["bytes"]) if self._sent.is_file() else 0

    def acknowledge(self, position: int) -> None:
        """Note that everything up to a position was sent. After a kill just before it, that is sent again."""
        if self.path.parent.is_dir():  # a sender that hung may come back when its folder was moved
            write_json(self._sent, {"bytes": position})
