"""`make bench`: measure, write `benchmarks/results.json` and `docs/benchmarks.md`, print what was measured.

Examples:
    make bench
    make bench ONLY=data
    make bench KEY=serve.p50_over_bare
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from benchmarks import results
from benchmarks.catalogue import GROUPS, KEYS, Benchmark, select
from benchmarks.machine import commit, machine
from benchmarks.workplace import ROOT, Workplace
from secondread import logging
from secondread.config.environment import Environment
from secondread.cpus import cpu_limit
from secondread.errors import SecondReadError

RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"

# plain lines, no bar: what is measured shows bars of its own
progress = Console(stderr=True, highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; gives the exit code."""
    options = _parser().parse_args(arguments)
    logging.configure()
    signal.signal(signal.SIGTERM, _end)
    try:
        if options.page:
            results.write_page(PAGE, results.read(RESULTS))
        else:
            selected = select(group=options.only, key=options.key)
            _show(run(selected, Environment.read().home / "bench"))
    except SecondReadError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def run(selected: Sequence[tuple[Benchmark, frozenset[str]]], home: Path) -> results.Results:
    """Measure one after the other and write each result as soon as it is there; gives what was measured."""
    where, what = machine(), commit(ROOT)
    _say_if_busy()
    home.mkdir(parents=True, exist_ok=True)
    place = Workplace(home)
    measured: results.Results = {}
    for number, (benchmark, keys) in enumerate(selected, start=1):
        progress.print(f"[bold]{number} of {len(selected)}[/bold]  {', '.join(sorted(keys))}")
        if missing := benchmark.missing():
            progress.print(f"        passed over: {missing}")
            continue
        start = time.perf_counter()
        figures = [figure for figure in benchmark.measure(place) if figure.key in keys]
        fresh = {figure.key: results.document(figure, commit=what, machine=where) for figure in figures}
        results.write_page(PAGE, results.merge(RESULTS, fresh))
        measured |= fresh
        values = ", ".join(results.shown(row) for row in fresh.values())
        progress.print(f"        {values}  [dim]({time.perf_counter() - start:.0f} s)[/dim]")
    return measured


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--only", default="", metavar="GROUP", help=f"one group: {', '.join(GROUPS)}")
    choice.add_argument("--key", default="", metavar="KEY", help=f"one figure: {', '.join(KEYS)}")
    choice.add_argument("--page", action="store_true", help="measure nothing, write docs/benchmarks.md again")
    return parser


def _show(measured: results.Results) -> None:
    """The table, on stdout."""
    if not measured:
        return
    values = {key: results.shown(row) for key, row in measured.items()}
    width, value_width = max(map(len, values)), max(map(len, values.values()))
    for key, row in measured.items():
        print(f"{key:<{width}}  {values[key]:>{value_width}}  n {row['n']:<6} {row['peer']}")


def _say_if_busy() -> None:
    load = os.getloadavg()[0]
    if load > 0.5 * cpu_limit():
        progress.print(
            f"[yellow]the machine is busy (load {load:.1f}): figures without a peer will be too low[/yellow]"
        )


def _end(number: int, _: FrameType | None) -> None:
    """As an exception, so that servers that were started are ended."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
