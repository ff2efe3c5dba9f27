"""What quantization compared, as a page and as a section that other pages can take in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup, escape

from secondread.config.quantize import QuantizeConfig
from secondread.export.quantization.choice import Candidate, shortcomings
from secondread.export.quantization.comparison import QuantizeResult, format_latency
from secondread.page.drawing import draw, upright
from secondread.page.page import render_page

_TEMPLATE = Path(__file__).parent / "quantize.html"
_LEFT, _TOP, _WIDTH, _HEIGHT = 64.0, 14.0, 380.0, 250.0
_LETTER = 7.4  # width of a letter of a name, at most
_STEPS = (1, 2, 5)  # between the ticks of an axis, times a power of ten
_TICKS = 5
_LINE = 15.0  # height of a name


def render_quantization(result: QuantizeResult, config: QuantizeConfig) -> str:
    """The comparison as one HTML document."""
    fp32 = result.candidates[0]
    return render_page(
        _TEMPLATE,
        {"percent": lambda share: f"{share:.1%}"},
        result=result,
        config=config,
        fp32=fp32,
        sizes=list(fp32.latency),
        latency=format_latency,
        shortcomings={item.name: shortcomings(item, fp32, config) for item in result.candidates},
        pareto=pareto_svg(result, config),
        synthetic=result.model.config.synthetic,
    )


def pareto(candidates: Sequence[Candidate], batch: int) -> list[Candidate]:
    """Those that no other one beats in P99 and in accuracy at once, the fastest first.

    Args:
        candidates: with times.
        batch: size whose P99 counts.
    """
    best: list[Candidate] = []
    for item in sorted(candidates, key=lambda each: (each.latency[batch].p99_ms, -each.accuracy)):
        if not best or item.accuracy > best[-1].accuracy:
            best.append(item)
    return best


def pareto_svg(result: QuantizeResult, config: QuantizeConfig) -> Markup:
    """P99 against accuracy lost, a dot for each graph.

    The line joins those that none beats in both; the dashed one is the accuracy that may be lost.
    """
    fp32, batch = result.candidates[0], config.batch_sizes[0]
    times = {item.name: item.latency[batch].p99_ms for item in result.candidates}
    drops = {item.name: item.drop_points(fp32) for item in result.candidates}
    right, rights = _axis(0, max(times.values()))
    low, high, levels = _span([*drops.values(), config.accuracy_points])

    def x(value: float) -> float:
        return round(_LEFT + value / right * _WIDTH, 2)

    def y(value: float) -> float:
        return round(_TOP + (value - low) / (high - low) * _HEIGHT, 2)  # downwards: what is lost

    bottom, end = _TOP + _HEIGHT, _LEFT + _WIDTH
    parts = [f'<line class="grid" x1="{x(t)}" x2="{x(t)}" y1="{_TOP}" y2="{bottom}"/>' for t in rights]
    parts += [f'<text class="small" x="{x(t)}" y="{bottom + 18}" text-anchor="middle">{t:g}</text>' for t in rights]
    parts += [f'<line class="grid" x1="{_LEFT}" x2="{end}" y1="{y(t)}" y2="{y(t)}"/>' for t in levels]
    parts += [f'<text class="small" x="{_LEFT - 8}" y="{y(t) + 4}" text-anchor="end">{t:g}</text>' for t in levels]
    limit = y(config.accuracy_points)
    parts.append(f'<line class="chance" x1="{_LEFT}" x2="{end}" y1="{limit}" y2="{limit}"/>')
    front = " ".join(f"{x(times[each.name])},{y(drops[each.name])}" for each in pareto(result.candidates, batch))
    parts.append(f'<polyline class="curve c0" points="{front}"/>')
    # of two dots at one height the right one's name comes first, so that the lines to them do not cross
    items = sorted(result.candidates, key=lambda each: (drops[each.name], -times[each.name]))
    heights = _apart([y(drops[item.name]) for item in items])
    for item, height in zip(items, heights, strict=True):
        place = f'cx="{x(times[item.name])}" cy="{y(drops[item.name])}"'
        words = f"{item.name}: {times[item.name]:.2f} ms, {drops[item.name]:+.2f} points lost"
        ring = f'<circle class="curve c1" {place} r="9"/>' if item.name == result.choice.name else ""
        bold = ' font-weight="700"' if ring else ""
        line = f'x1="{x(times[item.name])}" y1="{y(drops[item.name])}" x2="{end + 8}" y2="{height}"'
        parts += [
            f'<line class="grid" {line}/>{ring}'
            f'<circle class="dot" {place} r="5"><title>{escape(words)}</title></circle>',
            f'<text class="small" x="{end + 12}" y="{height + 4}"{bold}>{escape(item.name)}</text>',
        ]
    title = f"P99 of a run at batch {batch}, ms"
    parts.append(
        f'<text class="axis" x="{_LEFT + _WIDTH / 2}" y="{bottom + 38}" text-anchor="middle">{escape(title)}</text>'
    )
    parts.append(upright("accuracy lost, points", y=_TOP + _HEIGHT / 2))
    label = f"{title}, against accuracy lost; chosen: {result.choice.name}"
    width = end + 16 + _LETTER * max(map(len, times))
    return draw(parts, width=width, height=max(bottom + 50, *heights), label=label, kind="plot wide")


def _span(values: Sequence[float]) -> tuple[float, float, list[float]]:
    """Ends and ticks of an axis that holds 0 and these values."""
    step = _step(max(max(values), 0.0) - min(min(values), 0.0))
    first, last = math.floor(min(*values, 0.0) / step), math.ceil(max(*values, 0.0) / step)
    ticks = [number * step for number in range(first, last + 1)]
    return ticks[0], ticks[-1], ticks


def _axis(low: float, high: float) -> tuple[float, list[float]]:
    """The end and the ticks of an axis from `low`."""
    step = _step(high - low)
    count = math.ceil((high - low) / step)
    return low + count * step, [low + number * step for number in range(count + 1)]


def _step(length: float) -> float:
    """The round number that divides a length into about `_TICKS` parts."""
    rough = max(length, 1e-6) / _TICKS
    power = 10 ** math.floor(math.log10(rough))
    return float(next((step * power for step in _STEPS if step * power >= rough), 10 * power))


def _apart(heights: Sequence[float]) -> list[float]:
    """The same heights, none above the one before, moved down where two would lie on each other."""
    found = list(heights[:1])
    for height in heights[1:]:
        found.append(max(height, found[-1] + _LINE))
    return found
