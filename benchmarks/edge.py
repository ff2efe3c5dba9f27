"""At the edge: what `pip install secondread` alone takes on disk, and how soon a new process has read a film."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Measurement
from benchmarks.workplace import ROOT, Workplace
from secondread.atomic import sha256_file

RUNS = 15
_MIB = 1 << 20


def base_install(place: Workplace) -> Sequence[Measurement]:
    """Install without extras into an environment of its own, and read a film from a model folder there."""
    environment = _environment(place.home / "edge")
    packages = next(environment.glob("lib/python3*/site-packages"))
    size = sum(file.stat().st_size for file in packages.rglob("*") if file.is_file())
    film = place.home / "edge-film.jpg"
    film.write_bytes(place.films.encoded(1)[0])
    command = [str(environment / "bin/secondread"), "predict", str(film), "--model", str(place.trained.model.root)]
    seconds = [_seconds(command) for _ in range(RUNS + 1)][1:]  # the first one compiles what pip did not
    about = f"none; {place.trained.name}, fp32; every package of its environment, pip and what it compiled included"
    return [
        Measurement("edge.installed_mib", size / _MIB, "MiB", about, 1),
        Measurement(
            "edge.first_prediction_seconds",
            statistics.median(seconds),
            "s",
            f"none; from the start of the process to its end; {place.films.name}; {place.trained.name}, fp32",
            RUNS,
        ),
    ]


def _environment(folder: Path) -> Path:
    """With the library and what it needs, at the versions that all else here has; made once for them."""
    wanted = sha256_file(ROOT / "setup.cfg") + sha256_file(ROOT / "constraints.txt")
    done = folder / "made-from"
    if not done.is_file() or done.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--constraint", str(ROOT / "constraints.txt"), str(ROOT)], check=True, capture_output=True
        )
        done.write_text(wanted)
    return folder


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
