"""What the runs of each strategy say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from secondread.training.interval import bounds_of, mean_with_interval

COSTS = ("seconds", "wall_seconds", "peak_memory_mib", "peak_gpu_memory_megabytes", "images_per_second")


def by_strategy(runs: Sequence[Mapping[str, Any]], strategies: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Means with t intervals over seeds; and accuracy beside `single`, seed by seed.

    Args:
        runs: each with `strategy`, `seed`, `metrics` and what it cost.
        strategies: in the order of the result.
    Returns:
        By strategy: each figure as `{"value", "sd", "low", "high"}`, one that a run does not have left out, and
        `accuracy_minus_single`, which is None without `single` and for itself.
    """
    return {name: _together([run for run in runs if run["strategy"] == name], runs) for name in strategies}


def _together(own: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name in own[0]["metrics"]:
        values = [run["metrics"][name] for run in own]
        if None not in values:
            figures[name] = mean_with_interval(values, bounds=bounds_of(name))
    figures |= {name: mean_with_interval([run[name] for run in own], bounds=bounds_of(name)) for name in COSTS}
    single = {run["seed"]: run["metrics"]["accuracy"] for run in runs if run["strategy"] == "single"}
    # the same seed deals the same batches and the same first weights, so what is left is the strategy's own
    apart = [run["metrics"]["accuracy"] - single[run["seed"]] for run in own if run["seed"] in single]
    itself = own[0]["strategy"] == "single"
    return {
        **figures,
        "runs": len(own),
        "accuracy_minus_single": mean_with_interval(apart) if apart and not itself else None,
    }
