"""Triton's settings against each other: instances, threads of a run, and how requests are batched.

Every setting is asked by several numbers of callers at the same time, in rounds whose order turns about; what is
written is the median over the rounds. Callers share the CPUs with the server, as the transformer does in a pod.

Examples:
    python -m benchmarks.triton_sweep                              # this machine's CPUs, 64 px: half an hour
    python -m benchmarks.triton_sweep --rounds 1 --seconds 1 --output sweep.md
    python -m benchmarks.triton_sweep --gpu --address 127.0.0.1:8000 --repository /models

`--gpu` needs NVIDIA's Triton (the image of kserve/runtimes/servingruntime.yaml) on a machine with a GPU, started by you
with `tritonserver --model-repository=DIR --model-control-mode=explicit`, and DIR as --repository here: settings are put
there one after the other, loaded through Triton's repository API, and removed. The local Triton has no GPU.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.machine import commit, machine
from benchmarks.triton_settings import AS_SERVED, NAME, Setting, on_a_triton, on_this_machine, settings
from benchmarks.workplace import ROOT, Workplace
from secondread import logging
from secondread.atomic import atomic_file
from secondread.config.environment import Environment
from secondread.errors import DependencyError, InputError, SecondReadError
from secondread.model.folder import ModelFolder
from secondread.serving.transformer.predictor import Predictor

PAGE, GPU_PAGE = ROOT / "docs" / "triton-sweep.md", ROOT / "docs" / "triton-sweep-gpu.md"
CALLERS = (1, 8, 32)  # at the same time; 32 is what a server lets in
_WARM_SHARE = 0.2  # of the seconds, before those that count
_TIMEOUT_SECONDS = 30.0
progress = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Figures:
    """What came of some callers.

    Attributes:
        rate: images a second, all callers together.
        p99_ms: of a request.
    """

    rate: float
    p99_ms: float


Serve = Callable[[Setting], AbstractContextManager[str]]  # a Triton with a setting, by its address


def ask(address: str, pixels: np.ndarray, *, callers: int, seconds: float) -> Figures:
    """Ask from several threads, each as soon as it has its answer.

    Args:
        address: of Triton.
        pixels: uint8 (images, 1, size, size), of each request.
        callers: threads.
        seconds: that count.
    Raises:
        DependencyError: a request failed; a figure with failures in it says nothing.
    """
    times: list[float] = []
    failures: list[SecondReadError] = []
    begin = time.perf_counter() + _WARM_SHARE * seconds

    def call(predictor: Predictor) -> None:
        counted = False
        try:
            while (started := time.perf_counter()) < begin + seconds or not counted:
                predictor.infer(pixels)
                if counted := started >= begin:
                    times.append(time.perf_counter() - started)
        except SecondReadError as error:
            failures.append(error)

    with closing(Predictor(address, NAME, "1", timeout_seconds=_TIMEOUT_SECONDS)) as predictor:
        threads = [threading.Thread(target=call, args=(predictor,)) for _ in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        raise DependencyError(f"a request failed: {failures[0]}") from failures[0]
    return Figures(len(times) * len(pixels) / (time.perf_counter() - begin), 1e3 * float(np.percentile(times, 99)))


def sweep(
    compared: Sequence[Setting], serve: Serve, pixels: np.ndarray, *, rounds: int, seconds: float
) -> dict[Setting, list[Figures]]:
    """Measure every setting.

    Args:
        compared: what to measure.
        serve: starts a server with one.
        pixels: of each request.
        rounds: how often each is measured.
        seconds: of each number of callers.
    Returns:
        For each setting the figures of each of CALLERS, medians over the rounds.
    """
    found: dict[Setting, list[list[Figures]]] = {setting: [] for setting in compared}
    for number in range(rounds):
        for place, setting in enumerate(compared if number % 2 == 0 else reversed(compared), start=1):
            with serve(setting) as address:
                figures = [ask(address, pixels, callers=callers, seconds=seconds) for callers in CALLERS]
            found[setting].append(figures)
            best = max(figures, key=lambda each: each.rate)
            done = f"[bold]round {number + 1} of {rounds}, {place} of {len(compared)}[/bold]"
            progress.print(f"{done}  {setting.words()}: {best.rate:,.0f} images/s, P99 {best.p99_ms:.1f} ms")
    return {setting: [_median(each) for each in zip(*rows, strict=True)] for setting, rows in found.items()}


def _median(figures: Sequence[Figures]) -> Figures:
    return Figures(statistics.median(each.rate for each in figures), statistics.median(each.p99_ms for each in figures))


def page(found: dict[Setting, list[Figures]], *, about: str) -> str:
    """The table of the docs. The highest rate of each number of callers is bold.

    Args:
        found: by setting, for each of CALLERS.
        about: what was measured where.
    """
    columns = " | ".join(f"{callers} caller{'s'[: callers > 1]}: images/s (P99 ms)" for callers in CALLERS)
    lines = [
        "# Triton's settings\n",
        f"{about}\n",
        f"| instances | threads | batching | {columns} |",
        "|---:|---:|---|" + "---:|" * len(CALLERS),
    ]
    best = [max(column, key=lambda each: each.rate) for column in zip(*found.values(), strict=True)]
    for setting, row in found.items():
        cells = [f"{each.rate:,.0f} ({each.p99_ms:.1f})" for each in row]
        cells = [f"**{cell}**" if each in best else cell for cell, each in zip(cells, row, strict=True)]
        served = " (as served)" if setting.batching is AS_SERVED and setting.instances == 1 else ""
        what = (setting.instances, setting.threads or "GPU", setting.batching.words + served)
        lines.append(f"| {' | '.join([*map(str, what), *cells])} |")
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the page; gives the exit code."""
    options = _parser().parse_args(arguments)
    logging.configure()
    home = Environment.read().home / "bench"
    home.mkdir(parents=True, exist_ok=True)
    try:
        if options.gpu != bool(options.address and options.repository):
            raise InputError("--gpu goes with --address and --repository of a Triton that runs: see --help.")
        model = ModelFolder.open(options.model) if options.model else Workplace(home).trained_served.model
        serve: Serve = partial(on_this_machine, model, home)
        if options.gpu:
            serve = partial(on_a_triton, model, options.repository, options.address)
        size = model.config.preprocessing.size
        pixels = np.random.default_rng(0).integers(0, 256, (options.images, 1, size, size), dtype=np.uint8)
        found = sweep(settings(gpu=options.gpu), serve, pixels, rounds=options.rounds, seconds=options.seconds)
        about = _about(model, options)
        output = options.output or (GPU_PAGE if options.gpu else PAGE)
        with atomic_file(output) as aside:
            aside.write_text(page(found, about=about), encoding="utf-8")
        progress.print(f"{output} is written")
    except SecondReadError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _about(model: ModelFolder, options: argparse.Namespace) -> str:
    images = f"{options.images} image{'s'[: options.images > 1]} a request"
    where = f"NVIDIA's Triton on a GPU, called from {machine()}" if options.gpu else machine()
    return (
        f"Written by `python -m benchmarks.triton_sweep`: {images} over HTTP straight to Triton, {model.config.graph} "
        f"at {model.config.preprocessing.size} px; medians over {options.rounds} rounds of {options.seconds:g} s; the "
        f"callers are on the same CPUs.\n\nMeasured on {where}; commit `{commit(ROOT)}`. What `register` writes "
        "(`secondread/export/repository/triton_config.py`) is marked; served, it gets as many threads as the container "
        "has CPUs."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.triton_sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", type=Path, help="model folder; by default one of 64 px that is trained on phantoms")
    parser.add_argument("--rounds", type=_positive(int), default=3, help="how often each setting is measured")
    parser.add_argument("--seconds", type=_positive(float), default=5.0, help="of each number of callers")
    parser.add_argument("--images", type=_positive(int), default=1, help="of each request")
    parser.add_argument("--output", type=Path, help="page to write; by default docs/triton-sweep.md, or -gpu.md")
    parser.add_argument("--gpu", action="store_true", help="on a GPU: see above for what it needs")
    parser.add_argument("--address", default="", help="host:port of that Triton's HTTP service")
    parser.add_argument("--repository", type=Path, help="folder that it loads from")
    return parser


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    return read


if __name__ == "__main__":
    sys.exit(main())
