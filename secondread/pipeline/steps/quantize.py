"""Step: from fp32 to the graph that will be served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondread.config.mapping import from_mapping
from secondread.config.quantize import QuantizeConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.begin import Settings, begin
from secondread.pipeline.steps.dataset import verify_dataset
from secondread.pipeline.success import recorded, verify_success, write_success


def quantize(model: str, dataset: str, output: str, *, settings: Settings) -> dict[str, Any]:
    """Make INT8 graphs, compare them with fp32 on val, and choose.

    Returns:
        `graph`, the file name of the chosen one, and `table`, as Markdown.
    """
    from secondread.export.quantize import quantize as run_quantize

    begin()
    source, data, folder = Path(model), Path(dataset), Path(output)
    with recorded("quantize", folder):
        verify_success(source, step="train")
        verify_dataset(data)
        config = from_mapping(QuantizeConfig, settings)
        result = run_quantize(ModelFolder.open(source), DatasetVersion.open(data), folder, config)
        facts = {"graph": result.graph, "reason": result.reason, "table": result.table_markdown()}
        write_success(folder, step="quantize", inputs={"model": source, "dataset": data}, facts=facts)
    return facts
