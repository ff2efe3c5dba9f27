"""A cross-validation in MLflow: one run, whose steps are the folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from secondread.errors import DependencyError, InputError
from secondread.logging import get_logger
from secondread.tracking.runs import TrackingConfig, open_run

log = get_logger(__name__)


def write_down(record: Mapping[str, Any], files: Sequence[Path], tracking: TrackingConfig) -> None:
    """Write down what a cross-validation came to. If MLflow is gone by then, it is not lost for that: it is only said.

    Metrics: `accuracy`, ... of the held-out images, with the fold as the step; `mean/accuracy`, ... over folds, and
    `pooled/accuracy`, ... of all held-out images together, each with `.../low` and `.../high` where it has an interval;
    `quantized_less_trained/accuracy`, ... where the models were quantized.

    Args:
        record: as `cross_validate` gives.
        files: to keep with the run.
        tracking: where.
    """
    try:
        with open_run(tracking) as run:
            run.log_params(_settings(record))
            for fold in record["folds"]:
                run.log_metrics(_known(fold["metrics"]), fold["fold"])
            run.log_metrics(_with_bounds("mean", record["metrics"]), 0)
            run.log_metrics(_with_bounds("pooled", record["pooled"]["metrics"]), 0)
            if "quantized" in record:
                run.log_metrics(_with_bounds("quantized_less_trained", record["quantized"]["differences"]), 0)
                run.log_metrics({"quantized/agreement": record["quantized"]["agreement"]}, 0)
            run.log_files("cross-validation", files)
            log.info("written down in MLflow as run %s", run.run_id)
    except (DependencyError, InputError) as error:
        log.warning("the cross-validation is not in MLflow: %s", error)


def _settings(record: Mapping[str, Any]) -> dict[str, object]:
    """How images were dealt, and below `train.` the recipe: both have a seed."""
    dealt = {name: record[name] for name in ("group", "seed", "groups_in_several_folds", "dataset_version")}
    start = {f"start.{name}": value for name, value in record["start"].items()}
    recipe = {f"train.{name}": value for name, value in record["recipe"].items()}
    return {"folds": len(record["folds"]), **dealt, **start, **recipe}


def _known(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value is not None}


def _with_bounds(of: str, figures: Mapping[str, Mapping[str, float | None]]) -> dict[str, float]:
    values = {f"{of}/{name}": figure["value"] for name, figure in figures.items()}
    bounds = {f"{of}/{name}/{side}": figure[side] for name, figure in figures.items() for side in ("low", "high")}
    return _known(values | bounds)
