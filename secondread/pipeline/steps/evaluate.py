"""Step: judge a model's graph on a split, ask the gate, and write down what was found as a run in MLflow."""

from __future__ import annotations

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
from secondread.evaluation.results import Evaluation
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.begin import Settings, begin
from secondread.pipeline.steps.dataset import verify_dataset
from secondread.pipeline.success import recorded, verify_success, write_success
from secondread.pipeline.tags import code_tags
from secondread.tracking.asked import Asked, flat
from secondread.tracking.origin import Origin


def evaluate(
    model: str, dataset: str, output: str, *, split: str, model_step: str, gate: Settings, settings: Settings
) -> Evaluation:
    """Judge a model's graph on a split and ask the gate. A refusal is an answer, not a failure.

    Where MLflow is away, the step does not fail for it.

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
        policy, config = from_mapping(GateConfig, gate), from_mapping(EvaluateConfig, settings)
        early = split == "val"  # whether it is worth going on
        policy = policy.figures_only() if early else policy
        images = LabelledImages.from_version(DatasetVersion.open(dataset), split)
        chosen = {"evaluate": asdict(config), "gate": asdict(policy)}
        asked = Asked(images.version, flat(chosen), code_tags(environment))
        result = run_evaluate(
            ModelFolder.open(model), images, output=folder, policy=policy, config=config, evidence=not early
        )
        facts: dict[str, Any] = {
            "split": split,
            "passed": result.gate.passed,
            "policy": policy.fingerprint(),
            "reasons": list(result.gate.reasons),
            "lines": [asdict(line) for line in result.gate.lines],
            "metrics": result.to_json()["metrics"],
            "n": result.n,
            "asked": asdict(asked),
            "mlflow_run": tell_mlflow(Path(model), folder, asked, environment),
        }
        write_success(folder, step="evaluate", inputs={"model": Path(model), "dataset": Path(dataset)}, facts=facts)
    return result


def tell_mlflow(model: Path, evaluation: Path, asked: Asked, environment: Environment) -> str:
    """Write an evaluation down in MLflow, once for the same `asked`.

    Args:
        model: model folder, which names the run that trained it.
        evaluation: what was written of it.
        asked: of the evaluation.
        environment: where MLflow is.
    Returns:
        Id of the run; empty where MLflow is away.
    """
    # MLflow takes seconds to import
    from secondread.tracking.evaluated import log_evaluation

    uri = environment.mlflow_tracking_uri
    return log_evaluation(uri, evaluation, asked, origin=Origin.read(model), beside=evaluation)
