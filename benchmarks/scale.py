"""From a folder of JPEG files to a published, audited version, as a user would: what it takes at three sizes.

Ingest (with the search for near duplicates, without that for cropped ones), preprocess, audit, publish and catalogue,
one after the other, each in a process of its own.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cost import Cost, run_measured
from benchmarks.measure import Measurement
from benchmarks.scale_films import MOST, SIDE, film_folder
from benchmarks.workplace import ROOT, Workplace
from secondread.cpus import cpu_limit
from secondread.logging import get_logger

SIZES = (10_000, 30_000, MOST)
IMAGE_SIZE = 64
_DATA = ("-m", "secondread", "data")

log = get_logger(__name__)


def at(images: int) -> Callable[[Workplace], Sequence[Measurement]]:
    """The benchmark with that many films."""

    def measure(place: Workplace) -> Sequence[Measurement]:
        films = film_folder(place.home, images)
        busy = f"load {os.getloadavg()[0]:.0f} before"  # seconds mean little where others take the processors
        with tempfile.TemporaryDirectory(prefix="scale-", dir=place.home) as folder:
            costs = road(films, Path(folder))
        stages = ", ".join(f"{name} {cost.seconds:.0f} s" for name, cost in costs.items())
        note = (
            f"none; phantom JPEGs of {SIDE} px (drawn before) to {IMAGE_SIZE} px; {cpu_limit()} CPUs, {busy}: {stages}"
        )
        figures = (
            ("seconds", sum(cost.seconds for cost in costs.values()), "s"),
            ("cpu_seconds", sum(cost.cpu_seconds for cost in costs.values()), "s"),
            ("peak_rss_mib", max(cost.peak_mib for cost in costs.values()), "MiB"),
        )
        return [Measurement(f"data.scale_{images}.{name}", value, unit, note, images) for name, value, unit in figures]

    return measure


def road(films: Path, work: Path) -> dict[str, Cost]:
    """What each command costs, by name.

    Args:
        films: folder with manifest.csv.
        work: empty folder; the store and the catalogue are in it too.
    """
    images, version = str(work / "images"), str(work / "version")
    commands = {
        # by default cropped copies are looked for in the smallest of the sizes alone: their times could not be compared
        "ingest": [*_DATA, "ingest", str(films), "--output", images, "--public-ids", "--find-cropped-up-to", "0"],
        "preprocess": [*_DATA, "preprocess", images, "--output", version, "--image-size", str(IMAGE_SIZE)],
        "audit": [*_DATA, "audit", version, "--output", str(work / "audit")],
        "publish": [*_DATA, "publish", version, str(work / "store")],
        "catalogue": [*_DATA, "catalogue", "add", version],
    }
    costs = {}
    for name, arguments in commands.items():
        cost = run_measured(
            [sys.executable, *arguments], variables={"SECONDREAD_HOME": str(work / "home")}, folder=ROOT
        )
        log.info(
            "%s: %.1f s, of the processor %.1f s, at most %.0f MiB", name, cost.seconds, cost.cpu_seconds, cost.peak_mib
        )
        costs[name] = cost
    return costs
