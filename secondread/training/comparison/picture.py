"""Accuracy against time, one colour a strategy: where people would rather look than read a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from secondread.page.drawing import colour_class, draw, ticks

_LEFT, _TOP, _WIDTH, _HEIGHT = 62.0, 14.0, 560.0, 280.0
_SHAPES = ("circle", "square", "diamond", "triangle", "star")  # so that no meaning hangs on colour alone


def accuracy_against_time(runs: Sequence[Mapping[str, Any]], means: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Every run as a small mark, every strategy's mean as a large, paler one with its interval.

    Args:
        runs: with `strategy`, `seconds` and `metrics`.
        means: by strategy, in the order of the colours: `accuracy` and `seconds` as `{"value", "low", "high"}`.
    """
    xs = [0.0, *(run["seconds"] for run in runs), *_bounds(means, "seconds")]
    ys = [*(run["metrics"]["accuracy"] for run in runs), *_bounds(means, "accuracy")]
    axes = _Axes(most_seconds=max(xs), least=min(ys), most=max(ys))
    order = list(means)
    parts = axes.frame()
    for index, (name, mean) in enumerate(means.items()):
        x, y = axes.x(mean["seconds"]["value"]), axes.y(mean["accuracy"]["value"])
        colour = colour_class(index)
        if mean["accuracy"]["low"] is not None:
            low, high = axes.y(mean["accuracy"]["low"]), axes.y(mean["accuracy"]["high"])
            parts.append(f'<line class="{colour}" stroke-width="2" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>')
        parts.append(_mark(index, x, y, size=9, text=f"mean of {name}", strength=0.55))
    for run in runs:
        place = axes.x(run["seconds"]), axes.y(run["metrics"]["accuracy"])
        text = f"{run['strategy']}, seed {run['seed']}: {run['metrics']['accuracy']:.4f} in {run['seconds']:.0f} s"
        parts.append(_mark(order.index(run["strategy"]), *place, size=4.5, text=text, strength=1))
    parts += _legend(order)
    label = "Accuracy against seconds of training, by strategy"
    return draw(parts, width=_LEFT + _WIDTH + 16, height=_TOP + _HEIGHT + 76, label=label, kind="plot wide")


def mark_svg(index: int) -> Markup:
    """The mark of a strategy, for tables."""
    mark = _mark(index, 8, 8, size=6, text="", strength=1)
    return draw([mark], width=16, height=16, label="", kind="key-mark")


def _bounds(means: Mapping[str, Mapping[str, Any]], name: str) -> list[float]:
    sides = ("value",) if name == "seconds" else ("value", "low", "high")
    return [mean[name][side] for mean in means.values() for side in sides if mean[name][side] is not None]


class _Axes:
    """Seconds from 0; accuracy over the part of [0, 1] that the runs are in, so that differences can be seen."""

    def __init__(self, *, most_seconds: float, least: float, most: float) -> None:
        self._x_ticks = ticks(0, most_seconds * 1.05 or 1.0)
        self._y_ticks = [tick for tick in ticks(least - 0.005, most + 0.005) if -1e-9 <= tick <= 1 + 1e-9]

    def x(self, seconds: float) -> float:
        return round(_LEFT + _WIDTH * seconds / self._x_ticks[-1], 2)

    def y(self, accuracy: float) -> float:
        low, high = self._y_ticks[0], self._y_ticks[-1]
        return round(_TOP + _HEIGHT * (1 - (accuracy - low) / (high - low)), 2)

    def frame(self) -> list[str]:
        """Grid, ticks and titles."""
        left, right, bottom = _LEFT, _LEFT + _WIDTH, _TOP + _HEIGHT
        digits = max(0, -math.floor(math.log10(self._y_ticks[1] - self._y_ticks[0]) + 1e-9))
        parts = []
        for tick in self._x_ticks:
            x = self.x(tick)
            parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{bottom}"/>')
            parts.append(f'<text class="small" x="{x}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
        for tick in self._y_ticks:
            y = self.y(tick)
            parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
            parts.append(f'<text class="small" x="{left - 8}" y="{y + 4}" text-anchor="end">{tick:.{digits}f}</text>')
        middle = f"translate(14 {_TOP + _HEIGHT / 2}) rotate(-90)"
        return [
            *parts,
            f'<text class="axis" x="{left + _WIDTH / 2}" y="{bottom + 40}" text-anchor="middle">training (s)</text>',
            f'<text class="axis" transform="{middle}" text-anchor="middle">accuracy</text>',
        ]


def _legend(names: Sequence[str]) -> list[str]:
    """Which mark is whose, in a row under the axis."""
    y, step, parts = _TOP + _HEIGHT + 64, _WIDTH / max(len(names), 4), []
    for index, name in enumerate(names):
        x = _LEFT + step * index
        parts.append(_mark(index, x + 6, y, size=6, text="", strength=1))
        parts.append(f'<text x="{x + 18:.2f}" y="{y + 4}">{escape(name)}</text>')
    return parts


def _mark(index: int, x: float, y: float, *, size: float, text: str, strength: float) -> str:
    title = f"<title>{escape(text)}</title>" if text else ""
    # filled here, not by a page's style, so that a notebook shows it too; its edge tells marks apart that overlap
    style = f'style="fill:var(--{colour_class(index)});stroke:var(--card)" opacity="{strength}"'
    shape = _SHAPES[index % len(_SHAPES)]
    if shape == "circle":
        return f'<circle {style} cx="{x}" cy="{y}" r="{size}">{title}</circle>'
    corners = {
        "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "diamond": [(0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)],
        "triangle": [(0, -1.2), (1.1, 0.9), (-1.1, 0.9)],
        "star": [(0, -1.3), (0.35, -0.35), (1.3, 0), (0.35, 0.35), (0, 1.3), (-0.35, 0.35), (-1.3, 0), (-0.35, -0.35)],
    }[shape]
    points = " ".join(f"{x + size * a:.2f},{y + size * b:.2f}" for a, b in corners)
    return f'<polygon {style} points="{points}">{title}</polygon>'
