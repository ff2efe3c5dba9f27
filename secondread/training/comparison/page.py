"""The comparison for people: one HTML file that needs nothing else, in the look of the evaluation's report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import secondread
from secondread.evaluation import report
from secondread.training.comparison.picture import accuracy_against_time, mark_svg

_HERE = Path(__file__).parent  # comparison.html lies beside this file


def render_page(record: Mapping[str, Any]) -> str:
    """The page as one HTML document; no script and no address is in it.

    Args:
        record: as `compare` gives.
    """
    environment = Environment(
        # the style is the report's
        loader=FileSystemLoader([_HERE, Path(report.__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["with_interval"] = with_interval
    means = record["strategies"]
    page: str = environment.get_template("comparison.html").render(
        record=record,
        means=means,
        picture=accuracy_against_time(record["runs"], means),
        mark=mark_svg,
        notice=report.NOTICE,
        version=secondread.__version__,
    )
    return page


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
