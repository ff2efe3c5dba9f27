"""Training on one GPU in bf16: images a second, as a share of the device's peak, what costs most, and time to a target.

Without a GPU nothing of it is measured, and that is said.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.films import VARIABLE, public_folder
from benchmarks.measure import Measurement
from benchmarks.network import network
from benchmarks.trained import public_version
from benchmarks.training import fit_alone, images_an_epoch, phantoms, setting, speed
from benchmarks.workplace import ROOT, Workplace
from secondread.atomic import atomic_file
from secondread.config.train import TrainConfig
from secondread.errors import DependencyError
from secondread.logging import get_logger

if TYPE_CHECKING:
    from secondread.data.versions.dataset import DatasetVersion
    from secondread.training.fit import Fitted

NEEDS = "a GPU that torch computes bf16 on (CUDA or ROCm)"
PAGE = ROOT / "docs" / "gpu-profile.md"
SIZE = 64  # pixels, as the seeds'
SEED_ACCURACY = 0.87  # the best that the seeds report, with Ray Train on two GPUs in 28 minutes
PUBLIC_SET = "radiography-4"
PRECISION = "bf16-mixed"

log = get_logger(__name__)


@dataclass(frozen=True)
class Load:
    """How hard the device is worked.

    Attributes:
        config: recipe; the default batch of 64 leaves a data-centre GPU idle between kernels.
        images: phantoms to draw.
        matrix: side of the matrices whose product stands for the peak.
        profiled_steps: whose kernels are listed.
    """

    config: TrainConfig
    images: int
    matrix: int
    profiled_steps: int


LOAD = Load(TrainConfig(epochs=6, batch_size=1024, precision=PRECISION), images=9000, matrix=8192, profiled_steps=4)


def missing() -> str:
    """Empty where there is such a GPU; else a sentence."""
    import torch

    if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False):
        return ""
    return f"needs {NEEDS}, and this machine has none"


def throughput(_: Workplace) -> Sequence[Measurement]:
    """Images a second and their share of the peak; writes the page with the dearest kernels."""
    with phantoms(LOAD.images, SIZE) as dataset:
        return measure_throughput(dataset, LOAD, device="cuda", page=PAGE)


def measure_throughput(dataset: DatasetVersion, load: Load, *, device: str, page: Path) -> list[Measurement]:
    """Train and count.

    Args:
        dataset: of `SIZE` pixels.
        load: how hard.
        device: to train on, `cuda` or `cpu`.
        page: Markdown file to write.
    """
    from benchmarks.gpu import StepProfile, bf16_peak, operations_per_image, table
    from secondread.training.fit import architecture_for

    config = replace(load.config, accelerator="gpu" if device == "cuda" else device)
    rate = speed(fit_alone(dataset, config))
    # in a training of its own: a profile costs time
    profiled = StepProfile(load.profiled_steps, device)
    fit_alone(dataset, replace(config, epochs=2), [profiled])
    operations = operations_per_image(architecture_for(dataset, config))
    peak = bf16_peak(device, side=load.matrix, repeats=20)
    note = f"{network(dataset, config)}, {setting(config)}"
    _write_page(page, table(profiled.kernels(), rows=15), note=note)
    n = (config.epochs - 1) * images_an_epoch(dataset, config)
    against = (
        f"a product of bf16 matrices of {load.matrix}, {peak / 1e12:,.1f} TFLOP/s here; {operations / 1e6:,.0f} MFLOP "
        f"an image, forward and backward; {note}"
    )
    return [
        Measurement("train.gpu.images_per_second", rate, "images/s", f"none; {note}", n),
        Measurement("train.gpu.share_of_bf16_peak", rate * operations / peak, "share", against, n),
    ]


def seconds_to_seed_accuracy(_: Workplace) -> Sequence[Measurement]:
    """From the first step until val is read as well as the seeds read theirs, with the default recipe.

    Raises:
        DependencyError: the public set is not there.
    """
    films = public_folder(ROOT) / PUBLIC_SET
    if not films.is_dir():
        raise DependencyError(f"{films} is not there: name the folder with the set {PUBLIC_SET} in {VARIABLE}.")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        dataset = public_version(films, Path(folder), image_size=SIZE)
        return measure_time_to(SEED_ACCURACY, dataset, TrainConfig(precision=PRECISION, accelerator="gpu"))


def measure_time_to(accuracy: float, dataset: DatasetVersion, config: TrainConfig) -> list[Measurement]:
    """The figure; none, and a line that says so, where the accuracy is never reached."""
    fitted = fit_alone(dataset, config)
    epoch = first_epoch(fitted, accuracy)
    if not epoch:
        best = max(figures.val_accuracy for figures in fitted.epochs)
        log.warning("val accuracy came to %.3f at most, not to %.3f: there is no time to it", best, accuracy)
        return []
    note = (
        f"the seeds' {accuracy:.1%}, there after 28 minutes on two GPUs and other films; here on val of {PUBLIC_SET} "
        f"after epoch {epoch} of {len(fitted.epochs)}; {network(dataset, config)}, {setting(config)}"
    )
    # an epoch is as long as any other, validation included
    seconds = fitted.seconds * epoch / len(fitted.epochs)
    n = epoch * images_an_epoch(dataset, config)
    return [Measurement("train.gpu.seconds_to_seed_accuracy", seconds, "s", note, n)]


def first_epoch(fitted: Fitted, accuracy: float) -> int:
    """Counted from 1; 0 where none has that accuracy on val."""
    reached = [figures.val_accuracy >= accuracy for figures in fitted.epochs]
    return reached.index(True) + 1 if any(reached) else 0


def _write_page(page: Path, rows: str, *, note: str) -> None:
    head = (
        "# What a training step costs on a GPU\n\n"
        "Written by `make bench KEY=train.gpu.images_per_second`: torch's profiler over some steps, each operation's "
        f"own time, the dearest first. {note}.\n\n"
    )
    with atomic_file(page) as aside:
        aside.write_text(head + rows, encoding="utf-8")
