"""Figures as Kubeflow's pages show them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from secondread.atomic import write_json


def show_metrics(metrics: Any, figures: Mapping[str, float | None]) -> None:
    """Fill a `dsl.Metrics`, and write the figures to its file as well.

    KFP itself writes none, and its local cache takes a missing file for a miss.

    Args:
        metrics: the artifact.
        figures: by name; what is not known is left out.
    """
    known = {name: value for name, value in figures.items() if value is not None and math.isfinite(value)}
    for name, value in known.items():
        metrics.log_metric(name, value)
    write_json(metrics.path, known)
