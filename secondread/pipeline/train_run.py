"""A run of the training pipeline on this machine, and what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.errors import SecondReadError
from secondread.evaluation.folder import REPORT_FILE
from secondread.pipeline.cache import StepRun
from secondread.pipeline.deploy_run import Deployment
from secondread.pipeline.run import cached_of, run_steps, seconds_of


@dataclass(frozen=True)
class TrainRun:
    """What a run of the training pipeline gave; empty or None where it did not get that far.

    Attributes:
        status: `registered`, or `refused` by a gate.
        reason: what the last gate said.
        images: folder that ingest wrote.
        dataset_version: name of the dataset version.
        model: model folder of the chosen graph, else of training.
        report: page of the last evaluation.
        model_repository: what Triton loads.
        registered_version: number in the registry.
        mlflow_run: id of the run that trained the model.
        metrics: of the last evaluation: on test if it came to that.
        seconds: by step; 0 for a cached one.
        cached: names of the steps that were not run.
        deployment: what came of the version's rollout; None where none was asked for, or nothing was registered.
    """

    status: str
    reason: str
    images: str
    dataset_version: str
    model: str
    report: str
    model_repository: str
    registered_version: int | None
    mlflow_run: str
    metrics: Mapping[str, Any]
    seconds: Mapping[str, float]
    cached: tuple[str, ...]
    deployment: Deployment | None


def run_training(arguments: Mapping[str, Any], *, home: Path, reuse: bool = True) -> TrainRun:
    """Run the training pipeline: see `run_steps`. A gate that refuses is an answer, with `status` `refused`."""
    steps = run_steps("train", arguments, home=home, reuse=reuse)
    judged = steps.get("evaluate on test") or steps.get("evaluate on val")
    if judged is None:
        raise SecondReadError("the pipeline ended without an evaluation, and without an error. Please report this.")
    registered = steps["register"].facts if "register" in steps else {}
    if not registered and judged.facts["passed"]:
        raise SecondReadError("the gate said yes, but the pipeline did not go on. Please report this.")
    return _result(steps, judged, registered)


def _result(steps: Mapping[str, StepRun], judged: StepRun, registered: Mapping[str, Any]) -> TrainRun:
    made = steps.get("quantize") or steps["train"]
    return TrainRun(
        status="registered" if registered else "refused",
        reason="; ".join(judged.facts["reasons"]),
        images=steps["ingest"].outputs["images"].path,
        dataset_version=steps["preprocess"].facts["dataset_version"],
        model=made.outputs["quantized" if made.name == "quantize" else "model"].path,
        report=str(Path(judged.outputs["evaluation"].path) / REPORT_FILE),
        model_repository=registered.get("storage_uri", ""),
        registered_version=registered.get("version"),
        mlflow_run=steps["train"].facts["mlflow_run"],
        metrics=judged.facts["metrics"],
        seconds=seconds_of(steps),
        cached=cached_of(steps),
        deployment=Deployment.of(steps) if "end_rollout" in steps else None,
    )
