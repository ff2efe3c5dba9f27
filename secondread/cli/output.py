"""What commands print: one JSON document on stdout for machines, or lines for people."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]

_console = Console(highlight=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def print_facts(facts: dict[str, Any]) -> None:
    """Print names and values in two columns."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        _console.print(f"{name:<{width}}  {value}", markup=False)


def print_line(text: str) -> None:
    """Print one line."""
    _console.print(text, markup=False)


def print_table(table: Table) -> None:
    """Print a table as wide as its content, whatever the terminal: a value that is cut off cannot be copied."""
    width = Measurement.get(_console, _console.options.update(max_width=10_000), table).maximum
    Console(highlight=False, width=max(width, 1)).print(table, crop=False, markup=False)


def example(*lines: str) -> str:
    """The example at the end of a command's help."""
    return "\n\n".join(("[bold]Example[/bold]", *lines))
