"""Step: from fp32 to the graph that will be served, which the run that trained the model is told of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.config.mapping import from_mapping
from secondread.config.quantize import QuantizeConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.begin import Settings, begin
from secondread.pipeline.steps.dataset import verify_dataset
from secondread.pipeline.success import recorded, verify_success, write_success
from secondread.tracking.origin import Origin

if TYPE_CHECKING:
    from secondread.export.quantization.comparison import QuantizeResult


def quantize(model: str, dataset: str, output: str, *, settings: Settings) -> dict[str, Any]:
    """Make INT8 graphs, compare them with fp32 on val, and choose. Where MLflow is away, the step does not fail for it.

    Returns:
        `graph`, the file name of the chosen one, `reason`, and `table`, as Markdown.
    """
    from secondread.export.quantization.quantize import QUANTIZE_FILE, QUANTIZE_PAGE
    from secondread.export.quantization.quantize import quantize as run_quantize

    environment = begin()
    source, data, folder = Path(model), Path(dataset), Path(output)
    with recorded("quantize", folder):
        verify_success(source, step="train")
        verify_dataset(data)
        config = from_mapping(QuantizeConfig, settings)
        result = run_quantize(ModelFolder.open(source), DatasetVersion.open(data), folder, config)
        facts: dict[str, Any] = {"graph": result.graph, "reason": result.reason, "table": result.table_markdown()}
        origin = Origin.read(source)
        if origin.run_id:
            # MLflow takes seconds to import, which a model of no run should not pay
            from secondread.tracking.addition import add_to_run

            facts["in_mlflow"] = add_to_run(
                environment.mlflow_tracking_uri,
                origin.run_id,
                metrics=_metrics(result),
                files={f"quantization/{name}": (folder / name).read_bytes() for name in (QUANTIZE_FILE, QUANTIZE_PAGE)},
                left=folder.with_name(f"{folder.name}.tracking"),
            )
        write_success(folder, step="quantize", inputs={"model": source, "dataset": data}, facts=facts)
    return facts


def _metrics(result: QuantizeResult) -> dict[str, float]:
    """What the chosen graph gains and costs beside fp32, on val."""
    fp32, chosen = result.candidates[0], result.chosen
    times = {size: (fp32.latency[size].p50_ms, chosen.latency[size].p50_ms) for size in fp32.latency}
    return {
        "quantized_accuracy_drop_points": chosen.drop_points(fp32),
        "quantized_agreement": chosen.parity.same_label,
        "quantized_size_share": chosen.size_bytes / fp32.size_bytes,
        **{f"quantized_speedup_batch_{size}": before / after for size, (before, after) in times.items()},
    }
