"""Memory of a training at its peak, by batch size: each measured in a process of its own.

`python -m benchmarks.train_memory FOLDER RECIPE` is that process; the recipe is a JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.cost import run_measured
from benchmarks.measure import Measurement
from benchmarks.network import network
from benchmarks.training import fit_alone, images_an_epoch, phantoms, setting
from benchmarks.workplace import ROOT, Workplace
from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion

BATCH_SIZES = (16, 64, 256)
SIZE = 96  # pixels, the default
STEPS = 3  # and then val
_TRAIN_SHARE = 0.65  # of what is drawn; a little less than there is, since splits go by patient


def at(batch_size: int) -> Callable[[Workplace], Sequence[Measurement]]:
    """The benchmark with that many images a batch."""

    def measure(_: Workplace) -> Sequence[Measurement]:
        with phantoms(max(180, round(STEPS * batch_size / _TRAIN_SHARE)), SIZE) as dataset:
            return [measure_memory(dataset, TrainConfig(epochs=1, batch_size=batch_size))]

    return measure


def measure_memory(dataset: DatasetVersion, config: TrainConfig) -> Measurement:
    """The most that a training in a process of its own takes."""
    command = [sys.executable, "-m", "benchmarks.train_memory", str(dataset.root), json.dumps(asdict(config))]
    cost = run_measured(command, variables={}, folder=ROOT)
    note = f"none; {network(dataset, config)}, {setting(config)}; all of the process, torch included"
    n = images_an_epoch(dataset, config)
    return Measurement(f"train.peak_memory_mib_batch_{config.batch_size}", cost.peak_mib, "MiB", note, n)


if __name__ == "__main__":
    fit_alone(DatasetVersion.open(Path(sys.argv[1])), TrainConfig(**json.loads(sys.argv[2])))
