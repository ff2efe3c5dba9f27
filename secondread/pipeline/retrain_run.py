"""A run of the retraining pipeline on this machine, and what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.errors import SecondReadError
from secondread.evaluation.folder import REPORT_FILE
from secondread.evaluation.paired.report import PAGE_FILE
from secondread.pipeline.run import cached_of, run_steps, seconds_of


@dataclass(frozen=True)
class RetrainRun:
    """What a run of the retraining pipeline gave; empty or None where it did not get that far.

    Attributes:
        status: `registered` as challenger, or `refused` by a gate.
        reason: what the last gate said.
        dataset_version, parent: content hashes of the child and of the version that it grew from.
        champion_version: number in the registry of the model that was trained further.
        champion: its model folder.
        model: model folder of the chosen graph, else of training.
        report: page of the last evaluation.
        comparison: page of the comparison.
        differences: `accuracy` and `auroc_macro` of both models on test, and challenger - champion with its interval.
        mcnemar: images that one model alone gets right, and the p-value.
        model_repository: what Triton loads.
        registered_version: number in the registry.
        alias: of that version.
        mlflow_run: id of the run that trained the model.
        metrics: of the last evaluation: on test if it came to that.
        seconds: by step; 0 for a cached one.
        cached: names of the steps that were not run.
    """

    status: str
    reason: str
    dataset_version: str
    parent: str
    champion_version: int
    champion: str
    model: str
    report: str
    comparison: str
    differences: Mapping[str, Any]
    mcnemar: Mapping[str, Any]
    model_repository: str
    registered_version: int | None
    alias: str
    mlflow_run: str
    metrics: Mapping[str, Any]
    seconds: Mapping[str, float]
    cached: tuple[str, ...]


def run_retraining(arguments: Mapping[str, Any], *, home: Path, reuse: bool = True) -> RetrainRun:
    """Run the retraining pipeline: see `run_steps`. A gate that refuses is an answer, with `status` `refused`."""
    steps = run_steps("retrain", arguments, home=home, reuse=reuse)
    evaluated = steps.get("evaluate on test") or steps.get("evaluate on val")
    if evaluated is None:
        raise SecondReadError("the pipeline ended without an evaluation, and without an error. Please report this.")
    judged, compared = steps.get("compare", evaluated), steps.get("compare")
    registered = steps["register"].facts if "register" in steps else {}
    if not registered and judged.facts["passed"]:
        raise SecondReadError("the gate said yes, but the pipeline did not go on. Please report this.")
    made = steps.get("quantize") or steps["train"]
    return RetrainRun(
        status="registered" if registered else "refused",
        reason="; ".join(judged.facts["reasons"]),
        dataset_version=steps["fetch"].facts["content_hash"],
        parent=steps["fetch"].facts["parent"],
        champion_version=steps["champion"].facts["version"],
        champion=steps["champion"].outputs["model"].path,
        model=made.outputs["quantized" if made.name == "quantize" else "model"].path,
        report=str(Path(evaluated.outputs["evaluation"].path) / REPORT_FILE),
        comparison=str(Path(compared.outputs["comparison"].path) / PAGE_FILE) if compared else "",
        differences=compared.facts["differences"] if compared else {},
        mcnemar=compared.facts["mcnemar"] if compared else {},
        model_repository=registered.get("storage_uri", ""),
        registered_version=registered.get("version"),
        alias=registered.get("alias", ""),
        mlflow_run=steps["train"].facts["mlflow_run"],
        metrics=evaluated.facts["metrics"],
        seconds=seconds_of(steps),
        cached=cached_of(steps),
    )
