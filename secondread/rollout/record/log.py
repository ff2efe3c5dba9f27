"""Files of which each line is one value in JSON: what was seen of a rollout, and what was done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from secondread.errors import IntegrityError

T = TypeVar("T")


def to_line(value: Any) -> bytes:
    """One line, without its end."""
    return _adapter(type(value)).dump_json(value)  # type: ignore[arg-type] # a class has a hash


def from_line(line: bytes, kind: type[T]) -> T:
    """What a line says.

    Args:
        line: as `to_line` makes it.
        kind: of value.
    Raises:
        IntegrityError: it is none of that kind.
    """
    try:
        value: T = _adapter(kind).validate_json(line)  # type: ignore[arg-type] # likewise
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(each) for each in first["loc"])
        raise IntegrityError(f"no {kind.__name__.lower()}: {f'{where}: ' if where else ''}{first['msg']}") from error
    return value


def append(path: Path, value: Any) -> None:
    """Write a line that is on the disk when this returns, in the place of one that a killed process did not end."""
    with path.open("a+b") as file:
        file.truncate(_end_of_lines(file.fileno(), file.tell()))
        file.write(to_line(value) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, kind: type[T]) -> Iterator[T]:
    """The values of a file in their order, none where there is no file; a last line without an end is passed over.

    Raises:
        IntegrityError: a line cannot be read; it is named.
    """
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            yield from_line(line, kind)
        except IntegrityError as error:
            raise IntegrityError(f"{path} line {number}: {error}") from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Making one takes as long as reading ten lines."""
    return TypeAdapter(kind)


def _end_of_lines(file: int, size: int) -> int:
    """Where the last line that was ended ends, in bytes."""
    while size and os.pread(file, 1, size - 1) != b"\n":
        size -= 1
    return size
