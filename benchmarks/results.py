"""`benchmarks/results.json`: every figure under its key, with how, where and of what it was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.catalogue import KEYS, UNMEASURED, WORDS
from benchmarks.measure import Measurement
from benchmarks.promises import PROMISED
from secondread.atomic import atomic_file, read_json, write_json

FIELDS = {"value": float, "unit": str, "peer": str, "n": int, "command": str, "commit": str, "machine": str}
_DIGITS = 4  # significant ones; no figure here repeats any better
_HEAD = """\
# Benchmarks

How fast it is, as a ratio to what one would otherwise use, both measured in the same run on the same machine. This page
is made from [`benchmarks/results.json`](../benchmarks/results.json), which has each figure to four digits; `make bench`
measures all of it again, `make bench ONLY=data` one group, and the command in a row that row. What was promised of a
figure stands beside it.
"""

Results = dict[str, dict[str, Any]]


def document(measurement: Measurement, *, commit: str, machine: str) -> dict[str, Any]:
    """A figure as `results.json` has it."""
    return {
        "value": float(f"{measurement.value:.{_DIGITS}g}") + 0.0,  # never -0.0
        "unit": measurement.unit,
        "peer": measurement.peer,
        "n": measurement.n,
        "command": command(measurement.key),
        "commit": commit,
        "machine": machine,
    }


def read(path: Path) -> Results:
    """What was measured before; nothing where there is no file.

    Raises:
        IntegrityError: the file is no JSON.
    """
    return read_json(path) if path.is_file() else {}


def merge(path: Path, fresh: Results) -> Results:
    """Put fresh figures into the file and keep the others, except those that are measured no more."""
    both = read(path) | fresh
    results = {key: both[key] for key in KEYS if key in both}
    write_json(path, results)
    return results


def write_page(path: Path, results: Results) -> None:
    """Write the page of the docs."""
    with atomic_file(path) as aside:
        aside.write_text(page(results), encoding="utf-8")


def page(results: Results) -> str:
    """The page of the docs: one table a machine and commit."""
    origins = dict.fromkeys((row["machine"], row["commit"]) for row in results.values())
    parts = [_HEAD]
    for machine, commit in origins:
        rows = {key: row for key, row in results.items() if (row["machine"], row["commit"]) == (machine, commit)}
        parts += [f"\nMeasured on {machine}; commit `{commit}`:\n\n", *_table(rows)]
    return "".join([*parts, *_missing(results)])


def _missing(results: Results) -> Iterable[str]:
    """What has not been measured, and why where there is a reason."""
    missing = [key for key in KEYS if key not in results]
    if missing:
        yield "\nNot measured so far:\n\n| figure | command | |\n|---|---|---|\n"
    for key in missing:
        yield f"| {WORDS[key]} | `{command(key)}` | {UNMEASURED[key]} |\n"


def command(key: str) -> str:
    """What measures a figure."""
    return f"make bench KEY={key}"


def _table(rows: Results) -> Iterable[str]:
    yield "| figure | value | promised | compared with | n | command |\n|---|---:|---|---|---:|---|\n"
    for key, row in rows.items():
        cells = (WORDS[key], shown(row), _promised(key, row), row["peer"], f"{row['n']:,}", f"`{row['command']}`")
        yield f"| {' | '.join(cells)} |\n"


def _promised(key: str, row: Mapping[str, Any]) -> str:
    """The bound that a figure is held to, and whether it keeps it; empty where there is none."""
    if not (promise := PROMISED.get(key)):
        return ""
    bound = f"{promise.side} {shown({**row, 'value': promise.bound})}"
    return bound if promise.kept(row["value"]) else f"**{bound}: missed**"


def shown(row: Mapping[str, Any]) -> str:
    """A value with its unit, for people."""
    value, unit = row["value"], row["unit"]
    if unit == "x":
        return f"{value:.2f}x" if value < 100 else f"{value:,.0f}x"
    if unit == "share":
        return f"{value:.1%}"
    if unit == "points":
        return f"{value:+.2f} points" if value else "0.00 points"
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"
