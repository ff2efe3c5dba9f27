"""A cross-validation in MLflow: one run, whose steps are the folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.logging import get_logger

if TYPE_CHECKING:
    # MLflow is no dependency of training
    from secondread.tracking.runs import RunTracker

log = get_logger(__name__)


def tell_start(tracker: RunTracker, about: Mapping[str, Any], *, folds: int) -> None:
    """Write down what is about to be judged, and make sure that it arrives: nobody should train for hours otherwise.

    Args:
        tracker: of the run.
        about: what decides what the folds come to.
        folds: how many.
    Raises:
        DependencyError: the tracker does not answer.
    """
    tracker.log_params({"folds": folds, **_settings(about)})
    tracker.confirm()
    log.info("it is run %s in MLflow", tracker.run_id)


def tell_end(tracker: RunTracker, record: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Write down what it came to.

    Metrics: `accuracy`, ... of the held-out images, with the fold as the step; `mean/accuracy`, ... over folds, and
    `pooled/accuracy`, ... of all held-out images together, each with `.../low` and `.../high` where it has an interval;
    `quantized_less_trained/accuracy`, ... where the models were quantized.

    Args:
        tracker: of the run.
        record: as `cross_validate` gives.
        files: to keep with the run.
    """
    for fold in record["folds"]:
        tracker.log_metrics(_known(fold["metrics"]), fold["fold"])
    tracker.log_metrics(_with_bounds("mean", record["metrics"]), 0)
    tracker.log_metrics(_with_bounds("pooled", record["pooled"]["metrics"]), 0)
    if "quantized" in record:
        tracker.log_metrics(_with_bounds("quantized_less_trained", record["quantized"]["differences"]), 0)
        tracker.log_metrics({"quantized/agreement": record["quantized"]["agreement"]}, 0)
    for path in files:
        tracker.log_file(f"cross-validation/{path.name}", path.read_bytes())


def _settings(about: Mapping[str, Any]) -> dict[str, object]:
    """How images were dealt, and below `train.` the recipe: both have a seed."""
    dealt = {name: about[name] for name in ("group", "seed", "groups_in_several_folds", "dataset_version")}
    start = {f"start.{name}": value for name, value in about["start"].items()}
    recipe = {f"train.{name}": value for name, value in about["recipe"].items()}
    return {**dealt, **start, **recipe}


def _known(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value is not None}


def _with_bounds(of: str, figures: Mapping[str, Mapping[str, float | None]]) -> dict[str, float]:
    values = {f"{of}/{name}": figure["value"] for name, figure in figures.items()}
    bounds = {f"{of}/{name}/{side}": figure[side] for name, figure in figures.items() for side in ("low", "high")}
    return _known(values | bounds)
