"""Step: from fp32 to the graph that will be served; what was compared is a run in MLflow."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from secondread.config.mapping import from_mapping
from secondread.config.quantize import QuantizeConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.begin import Settings, begin
from secondread.pipeline.steps.dataset import verify_dataset
from secondread.pipeline.success import recorded, verify_success, write_success
from secondread.pipeline.tags import code_tags
from secondread.tracking.asked import Asked, flat
from secondread.tracking.origin import Origin


def quantize(model: str, dataset: str, output: str, *, settings: Settings) -> dict[str, Any]:
    """Make INT8 graphs, compare them with fp32 on val, and choose. Where MLflow is away, the step does not fail for it.

    Returns:
        `graph`, the file name of the chosen one, `reason`, `table`, as Markdown, and `mlflow_run`, which is empty where
        MLflow is away.
    """
    # onnxruntime's tools and MLflow take seconds to import, which the other steps should not pay
    from secondread.export.quantization.quantize import quantize as run_quantize
    from secondread.tracking.quantized import log_quantization

    environment = begin()
    source, data, folder = Path(model), Path(dataset), Path(output)
    with recorded("quantize", folder):
        verify_success(source, step="train")
        verify_dataset(data)
        config, version = from_mapping(QuantizeConfig, settings), DatasetVersion.open(data)
        asked = Asked(version.content_hash, flat({"quantize": asdict(config)}), code_tags(environment))
        origin = Origin.read(source)
        result = run_quantize(ModelFolder.open(source), version, folder, config)
        facts: dict[str, Any] = {
            "graph": result.graph,
            "reason": result.reason,
            "table": result.table_markdown(),
            "mlflow_run": log_quantization(
                environment.mlflow_tracking_uri, folder, asked, origin=origin, beside=folder
            ),
        }
        write_success(folder, step="quantize", inputs={"model": source, "dataset": data}, facts=facts)
    return facts
