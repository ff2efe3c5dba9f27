"""Step: judge a model's graph on a split, and ask the gate."""

from __future__ import annotations

from pathlib import Path

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


def evaluate(
    model: str, dataset: str, output: str, *, split: str, model_step: str, gate: Settings, settings: Settings
) -> Evaluation:
    """Judge a model's graph on a split and ask the gate. A refusal is an answer, not a failure.

    Args:
        model: model folder, that step `model_step` wrote.
        dataset: dataset version.
        output: folder to write.
        split: `val` or `test`.
        model_step: `train` or `quantize`.
        gate: fields of `GateConfig`.
        settings: fields of `EvaluateConfig`.
    """
    begin()
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
        facts = {
            "split": split,
            "passed": result.gate.passed,
            "reasons": list(result.gate.reasons),
            "metrics": result.to_json()["metrics"],
            "n": result.n,
        }
        write_success(folder, step="evaluate", inputs={"model": Path(model), "dataset": Path(dataset)}, facts=facts)
    return result
