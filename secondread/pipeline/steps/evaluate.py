"""Step: judge a model's graph on a split, ask the gate, and tell the run that trained the model what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from secondread.config.environment import Environment
from secondread.config.evaluate import EvaluateConfig
from secondread.config.gate import GateConfig
from secondread.config.mapping import from_mapping
from secondread.data.versions.dataset import DatasetVersion
from secondread.evaluation.evaluate import evaluate as run_evaluate
from secondread.evaluation.labelled_images import LabelledImages
from secondread.evaluation.nulls import null_for_nan
from secondread.evaluation.results import Evaluation
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.begin import Settings, begin
from secondread.pipeline.steps.dataset import verify_dataset
from secondread.pipeline.success import recorded, verify_success, write_success
from secondread.tracking.origin import Origin


def evaluate(
    model: str, dataset: str, output: str, *, split: str, model_step: str, gate: Settings, settings: Settings
) -> Evaluation:
    """Judge a model's graph on a split and ask the gate. A refusal is an answer, not a failure.

    The run that trained the model gets figures and pages; where MLflow is away, the step does not fail for it.

    Args:
        model: model folder, that step `model_step` wrote.
        dataset: dataset version.
        output: folder to write.
        split: `val` or `test`.
        model_step: `train` or `quantize`.
        gate: fields of `GateConfig`.
        settings: fields of `EvaluateConfig`.
    """
    environment = begin()
    folder = Path(output)
    with recorded(f"evaluate on {split}", folder):
        verify_success(Path(model), step=model_step)
        verify_dataset(Path(dataset))
        policy = from_mapping(GateConfig, gate)
        early = split == "val"  # whether it is worth going on
        result = run_evaluate(
            ModelFolder.open(model),
            LabelledImages.from_version(DatasetVersion.open(dataset), split),
            output=folder,
            policy=policy.figures_only() if early else policy,
            config=from_mapping(EvaluateConfig, settings),
            evidence=not early,
        )
        facts: dict[str, Any] = {
            "split": split,
            "passed": result.gate.passed,
            "reasons": list(result.gate.reasons),
            "lines": [asdict(line) for line in result.gate.lines],
            "metrics": result.to_json()["metrics"],
            "figures": {name: null_for_nan(asdict(figure)) for name, figure in result.figures().items()},
            "n": result.n,
        }
        facts["in_mlflow"] = tell_mlflow(Path(model), folder, facts, environment)
        write_success(folder, step="evaluate", inputs={"model": Path(model), "dataset": Path(dataset)}, facts=facts)
    return result


def tell_mlflow(model: Path, evaluation: Path, facts: Mapping[str, Any], environment: Environment) -> bool:
    """Add an evaluation to the MLflow run that trained the model.

    Args:
        model: model folder, which names its run.
        evaluation: what was written of it.
        facts: of the step.
        environment: where MLflow is.
    Returns:
        Whether MLflow has it; not where it is away, or the training was not tracked.
    """
    origin = Origin.read(model)
    if not origin.run_id:
        return False
    # MLflow takes seconds to import, which a model of no run should not pay
    from secondread.tracking.evaluated import add_evaluation

    return add_evaluation(
        environment.mlflow_tracking_uri,
        origin.run_id,
        evaluation,
        figures=facts["figures"],
        split=facts["split"],
        left=evaluation.with_name(f"{evaluation.name}.tracking"),
    )
