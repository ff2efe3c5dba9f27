"""`docs/protocols.md`: what `benchmarks.protocols` found, in tables, with how it comes about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.workplace import ROOT
from secondread.atomic import atomic_file

if TYPE_CHECKING:
    from benchmarks.calls import Call
    from benchmarks.protocols import Asked, Measured, Saturated

PAGE = ROOT / "docs" / "protocols.md"
_HOUR_MS = 3600 * 1000
_HEAD = """\
# REST or gRPC, and what a reading costs

Written by `.venv/bin/python -m benchmarks.protocols`, which takes ten minutes. Measured on {about}.

## A request

One caller, who asks again as soon as there is an answer, on the server's own CPUs. Times are from the images' bytes to
the answer's last byte, so that base64 is in them; bytes are what TCP carries, heads and frames included, of connections
that are open already; CPU time is that of all the server's processes, Triton's too. V1 is KServe's first protocol.

"""
_CALLS = """
## Before any work is done

One call after the other, from Python, of servers that do nothing else; and the work itself without one.

"""
_COST = """
## What a reading costs

{callers} callers at the same time, so that the server always has work, and reads together what waits. An image costs
the CPU time of all the server's processes, the callers' not among them. A core-hour then reads

    3,600,000 / (CPU ms an image)

images, which are as many requests where each has one image, and a million images cost the price of a core-hour times
the last column.

"""
_GPU = """
A GPU-hour reads

    3,600 * (images a second of one GPU)

images, where the transformer keeps up; its processors cost at most what the table says besides. That rate is not
measured here, since the local Triton computes on processors alone: it needs NVIDIA's image of Triton on a machine with
a GPU, and is the best row of `python -m benchmarks.triton_sweep --gpu` there.
"""
_ASKED = (
    "protocol | images a request | KiB sent an image | received | P50 ms | P99 ms | CPU ms a request | an image | n"
)
_SATURATED = "protocol | images a request | CPU ms an image | images a core-hour | core-hours a million images | n"


def write(found: Measured, *, about: str, callers: int, page: Path = PAGE) -> None:
    """Write the page.

    Args:
        found: all tables.
        about: machine, commit and what was asked for, in words.
        callers: who kept the server busy.
        page: Markdown file.
    """
    parts = [_HEAD.format(about=about), *_asked(found.asked), _CALLS, *_calls(found.calls)]
    parts += [_COST.format(callers=callers), *_saturated(found.saturated), _GPU]
    with atomic_file(page) as aside:
        aside.write_text("".join(parts), encoding="utf-8")


def _asked(rows: Sequence[Asked]) -> Iterable[str]:
    yield f"| {_ASKED} |\n|---{'|---:' * 8}|\n"
    for row in rows:
        p50, p99 = 1e3 * np.percentile(row.seconds, [50, 99], method="inverted_cdf")
        cpu_ms = 1e3 * row.cpu_seconds / len(row.seconds)
        wire, times = f"{row.sent / 1024:.1f} | {row.received / 1024:.2f}", f"{p50:.1f} | {p99:.1f}"
        cpu = f"{cpu_ms:.1f} | {cpu_ms / row.images:.2f}"
        yield f"| {row.protocol} | {row.images} | {wire} | {times} | {cpu} | {len(row.seconds):,} |\n"


def _calls(rows: Sequence[Call]) -> Iterable[str]:
    yield "| call | P50 ms | P99 ms | n |\n|---|---:|---:|---:|\n"
    for row in rows:
        yield f"| {row.name} | {row.p50_ms:.2f} | {row.p99_ms:.2f} | {row.n:,} |\n"


def _saturated(rows: Sequence[Saturated]) -> Iterable[str]:
    yield f"| {_SATURATED} |\n|---{'|---:' * 5}|\n"
    for row in rows:
        hour = _HOUR_MS / row.cpu_ms
        cost = f"{row.cpu_ms:.2f} | {_rounded(hour):,} | {1e6 / hour:.2f}"
        yield f"| {row.protocol} | {row.images} | {cost} | {row.n:,} |\n"


def _rounded(value: float) -> int:
    """To three digits, which is more than it repeats to."""
    return int(float(f"{value:.3g}"))
