"""A load test for people: one HTML file that needs nothing else, and a few lines of Markdown."""

from __future__ import annotations

from pathlib import Path

from secondread.config.loadtest import LoadTestConfig
from secondread.page.over_time import Line, over_time_svg, swatch_svg
from secondread.page.page import render_page
from secondread.serving.load.result import FULL, LoadTestResult

_TEMPLATE = Path(__file__).parent / "load.html"


def render_load_test(result: LoadTestResult, config: LoadTestConfig, *, own_images: bool) -> str:
    """The page.

    Args:
        result: the figures.
        config: what was asked.
        own_images: images of the user were sent, and no phantoms.
    """
    parts = result.intervals
    places = [part.start_seconds + part.seconds / 2 for part in parts]
    total = parts[-1].start_seconds + parts[-1].seconds if parts else config.duration_seconds
    times = (
        Line("P50", [part.p50_ms for part in parts], "c2"),
        Line("P95", [part.p95_ms for part in parts], "c0", 1),
        Line("P99", [part.p99_ms for part in parts], "c1", 2),
    )
    rates = (
        Line("requests a second", [part.requests / part.seconds for part in parts], "c0"),
        Line("failures a second", [part.failures / part.seconds for part in parts], "c1", 1),
    )
    users = (Line("callers", [float(part.users) for part in parts], "c5"),)
    return render_page(
        _TEMPLATE,
        {"ms": _milliseconds, "percent": lambda share: f"{share:.2%}"},
        result=result,
        config=config,
        gate=result.gate(config),
        own_images=own_images,
        times=times,
        rates=rates,
        charts={
            "times": over_time_svg(
                places, times, total=total, title="answer, ms", height=240, limit=config.p99_below_ms
            ),
            "rates": over_time_svg(places, rates, total=total, title="a second", height=130),
            "users": over_time_svg(places, users, total=total, title="callers", height=80),
        },
        swatch=swatch_svg,
        full=FULL,
        synthetic=False,  # these figures say something whatever was sent
    )


def load_test_markdown(result: LoadTestResult, config: LoadTestConfig) -> str:
    """Headline and the gate's lines."""
    gate = result.gate(config)
    head = (
        f"**{config.name}** under {config.shape} load: {result.requests} requests, {result.rate_per_second:.1f} "
        f"answered a second, P99 {_milliseconds(result.p99_ms)} ms, {result.failure_share:.2%} failed. "
        f"The gate {'passed' if gate.passed else 'refused'}."
    )
    return "\n".join([head, "", *(f"- {'yes' if line.passed else 'no'}: {line.reason}" for line in gate.lines), ""])


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
