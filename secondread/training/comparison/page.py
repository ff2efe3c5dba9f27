"""The comparison for people: one HTML file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondread.evaluation.report.page import NOTICE
from secondread.page.page import render_page
from secondread.training.comparison.picture import accuracy_against_time, mark_svg

_TEMPLATE = Path(__file__).parent / "comparison.html"


def comparison_page(record: Mapping[str, Any]) -> str:
    """The page as one HTML document; no script and no address is in it.

    Args:
        record: as `compare` gives.
    """
    means = record["strategies"]
    return render_page(
        _TEMPLATE,
        {"with_interval": with_interval},
        synthetic=record["synthetic"],
        record=record,
        means=means,
        picture=accuracy_against_time(record["runs"], means),
        mark=mark_svg,
        notice=NOTICE,
    )


def with_interval(figure: Mapping[str, float | None] | None, digits: int = 3, *, times: float = 1) -> str:
    """`0.912 (0.900 to 0.924)`; without an interval only the value, and a dash where there is none.

    Args:
        figure: `value`, `low` and `high`.
        digits: after the point.
        times: what all are multiplied by, such as 100 for points.
    """
    if figure is None or figure["value"] is None or not math.isfinite(figure["value"]):
        return "-"
    value, low, high = (
        None if figure[key] is None else f"{times * figure[key]:,.{digits}f}"  # type: ignore[operator]
        for key in ("value", "low", "high")
    )
    return f"{value}" if low is None else f"{value} ({low} to {high})"
