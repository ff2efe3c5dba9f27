"""Step: a challenger against the champion on the same untouched test images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from secondread.config.evaluate import EvaluateConfig
from secondread.config.mapping import from_mapping
from secondread.config.paired import PairedConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.evaluation.labelled_images import LabelledImages
from secondread.evaluation.paired.difference import PairedComparison, compare_models
from secondread.evaluation.paired.report import write_comparison
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.begin import Settings, begin
from secondread.pipeline.success import recorded, verify_success, write_success


def compare(
    champion: str, challenger: str, dataset: str, output: str, *, margins: Settings, settings: Settings
) -> PairedComparison:
    """Compare a challenger with the champion. A refusal is an answer, not a failure.

    Args:
        champion: model folder that step `champion` wrote.
        challenger: model folder that step `quantize` wrote.
        dataset: dataset version that step `fetch` wrote.
        output: folder to write.
        margins: fields of `PairedConfig`.
        settings: fields of `EvaluateConfig`.
    """
    begin()
    folder = Path(output)
    with recorded("compare", folder):
        known = verify_success(Path(champion), step="champion")
        verify_success(Path(challenger), step="quantize")
        verify_success(Path(dataset), step="fetch")
        models = {"champion": ModelFolder.open(champion), "challenger": ModelFolder.open(challenger)}
        data = LabelledImages.from_version(DatasetVersion.open(dataset), "test")
        result = compare_models(
            models["champion"],
            models["challenger"],
            data,
            policy=from_mapping(PairedConfig, margins, stage="compare"),
            config=from_mapping(EvaluateConfig, settings),
        )
        write_comparison(result, folder, **models, data=data)
        inputs = {"champion": Path(champion), "challenger": Path(challenger), "dataset": Path(dataset)}
        write_success(folder, step="compare", inputs=inputs, facts=_facts(result, known))
    return result


def _facts(result: PairedComparison, champion: dict[str, Any]) -> dict[str, Any]:
    document = result.to_json()
    return {
        "passed": result.gate.passed,
        "reasons": list(result.gate.reasons),
        "lines": [asdict(line) for line in result.gate.lines],
        "differences": document["differences"],
        "mcnemar": document["mcnemar"],
        "champion": {"version": champion["version"], "digest": champion["digest"]},
        "n": result.n,
    }
