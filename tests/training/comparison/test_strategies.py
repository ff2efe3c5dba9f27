"""What DDP and Ray come to beside one process, on real films: no other accuracy but by what a seed decides."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest
from scipy import stats

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.data.ingest import ingest
from secondread.data.versions.version import write_dataset_version
from secondread.training.comparison.compare import Comparison, compare

SEEDS = (0, 1, 2)
PRESENTATIONS = 30_000  # a third of the recipe's: nine trainings in a quarter of an hour


@pytest.mark.full
@pytest.mark.timeout(2 * 3600)
def test_two_processes_and_two_ray_workers_reach_the_accuracy_of_one(shared_data: Path, tmp_path: Path) -> None:
    ingest(IngestConfig(str(shared_data / "radiography-4"), public_ids=True), tmp_path / "films")
    version = write_dataset_version(tmp_path / "films", tmp_path / "dataset", PreprocessConfig(image_size=64))
    config = TrainConfig(image_presentations=PRESENTATIONS)
    chosen = Comparison(("single", "ddp", "ray", "retrain"), SEEDS)
    record = compare(version, tmp_path / "comparison", config, chosen)
    accuracy = {
        strategy: [run["metrics"]["accuracy"] for run in record["runs"] if run["strategy"] == strategy]
        for strategy in chosen.strategies
    }
    single, images = accuracy["single"], sum(version.counts["val"].values())
    # where seeds agree by chance, an image more or less is still none
    spread = max(statistics.stdev(single), 1 / images)
    # of the difference of two means of three seeds
    noise = stats.t.ppf(0.975, len(SEEDS) - 1) * spread * math.sqrt(2 / len(SEEDS))
    for strategy in ("ddp", "ray"):
        assert statistics.fmean(accuracy[strategy]) == pytest.approx(statistics.fmean(single), abs=noise)
        assert record["strategies"][strategy]["images_per_second"]["value"] > 0
    # the same batches over the same number of processes are the same training
    assert accuracy["ray"] == pytest.approx(accuracy["ddp"], abs=2 / images)
    assert statistics.fmean(accuracy["retrain"]) > statistics.fmean(single) - noise
