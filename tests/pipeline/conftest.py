"""One real run of the training pipeline, small, that several tests look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from secondread.data.sources.phantom.source import PhantomSource
from secondread.pipeline.arguments import (
    RetrainPipelineSettings,
    TrainPipelineSettings,
    pipeline_arguments,
    retrain_arguments,
)
from secondread.pipeline.retrain_run import RetrainRun, run_retraining
from secondread.pipeline.train_run import TrainRun, run_training

# A model that learns nothing worth serving, in a second, and a gate that lets it pass.
TINY = {
    "preprocess": {"image_size": 32, "final_eval_min_images": 100},
    "train": {"preset": "vit-test-32", "epochs": 1, "threads": 1, "audit_images": 0, "explain": False},
    "evaluate": {"resamples": 100, "shown_images": 2, "stress_images": 4, "strange_images": 3, "timed_runs": 5},
    # no INT8 graph can save 99 %: fp32 is kept, which can be compared with torch
    "quantize": {"timed_runs": 2, "calibration_images": 16, "latency_gain": 0.99, "batch_sizes": (1, 4)},
    "gate": {"accuracy_above": 0.0},
}


class Pipeline:
    """The training pipeline on a folder of phantoms that a test may change."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.source = folder / "films"
        for image in PhantomSource("phantom://cxr?images=120&size=32&classes=cxr-normal,cxr-covid").images():
            path = self.source / image.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image.read())

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.home}/mlflow/mlflow.db"

    def run(self, **changes: Any) -> TrainRun:
        settings = TrainPipelineSettings(
            source=str(self.source), root=str(self.home / "models"), name="tiny", **{**TINY, **changes}
        )
        return run_training(pipeline_arguments(settings), home=self.home)

    def retrain(self, child: Path, parent: Path, **changes: Any) -> RetrainRun:
        stages = {stage: fields for stage, fields in TINY.items() if stage not in ("preprocess", "train")}
        settings = RetrainPipelineSettings(
            str(child), str(parent), name="tiny", root=str(self.home / "models"), **{**stages, **changes}
        )
        return run_retraining(retrain_arguments(settings), home=self.home)

    def change_an_image(self, seed: int) -> None:
        path = sorted(self.source.rglob("*.png"))[seed]
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32), dtype=np.uint8)).save(path)


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The pipeline, with a home of its own for the whole session."""
    return Pipeline(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="session")
def first_run(pipeline: Pipeline) -> TrainRun:
    """A first run, nothing cached."""
    return pipeline.run()


@pytest.fixture
def tiny_settings() -> Callable[[], list[str]]:
    """The same small settings as arguments of the command line."""
    import json

    return lambda: [
        part
        for stage, fields in TINY.items()
        for field, value in fields.items()
        for part in ("--set", f"{stage}.{field}={json.dumps(value)}")
    ]
