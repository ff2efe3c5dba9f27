"""The log of a rollout's observations: a line of JSON each, of which the same decisions come again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from secondread.errors import IntegrityError
from secondread.rollout.observations import Observation

_OBSERVATION = TypeAdapter(Observation)


def to_line(observation: Observation) -> str:
    """One line of the log."""
    return _OBSERVATION.dump_json(observation).decode()


def from_line(line: str) -> Observation:
    """What a line of the log says.

    Raises:
        IntegrityError: it is not what `to_line` writes.
    """
    try:
        return _OBSERVATION.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(each) for each in first["loc"])
        raise IntegrityError(f"no observation: {f'{where}: ' if where else ''}{first['msg']}") from error


def read_log(path: Path) -> Iterable[Observation]:
    """The observations of a log, in their order.

    Raises:
        IntegrityError: a line cannot be read; it is named.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield from_line(line)
            except IntegrityError as error:
                raise IntegrityError(f"{path} line {number}: {error}") from error
