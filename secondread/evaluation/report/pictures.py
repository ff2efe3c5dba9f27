"""The report's pictures, drawn as SVG: sharp at any size, readable by machines, and coloured by the page's own style.

Every function returns safe markup. Colours come from the page's classes (`c0`, `c1`, ... for the classes), so that one
drawing serves light and dark; each curve also has a dash pattern of its own, so that no meaning hangs on colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from secondread.evaluation.metrics.calibration import ReliabilityBin
from secondread.evaluation.metrics.curves import PrCurve, RocCurve
from secondread.page.drawing import colour_class, dash, draw, upright

_STRONG = 0.6  # opacity from which a cell is so dark that its text must turn light


def confusion_svg(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    """Confusion matrix: counts, shaded by the share of the row's images; right in one hue, wrong in another."""
    cell, font = 58, 13
    left = 46 + int(7.2 * max(map(len, names)))
    bottom = 26 + int(4.3 * max(map(len, names)))
    side = cell * len(names)
    parts = [
        f'<text class="axis" x="{left + side / 2}" y="14" text-anchor="middle">called by the model</text>',
        upright("true class", y=26 + side / 2),
    ]
    for row, counts in enumerate(matrix):
        y = 26 + row * cell
        parts.append(f'<text x="{left - 8}" y="{y + cell / 2 + 4}" text-anchor="end">{escape(names[row])}</text>')
        parts += [_cell(counts, row, column, x=left + column * cell, y=y, size=cell) for column in range(len(counts))]
    for column, name in enumerate(names):
        place = f"translate({left + column * cell + cell / 2 + 4} {26 + side + 16}) rotate(-35)"
        parts.append(f'<text transform="{place}" text-anchor="end">{escape(name)}</text>')
    label = "Confusion matrix: rows are true classes, columns are the model's answers"
    return draw(
        parts, width=left + side + 12, height=26 + side + bottom, font=font, label=label, kind="confusion", fixed=True
    )


def _cell(counts: Sequence[int], row: int, column: int, *, x: float, y: float, size: float) -> str:
    total = sum(counts)
    share = counts[column] / total if total else 0.0
    hue = "right" if row == column else "wrong"
    depth = share**0.7  # a few per cent stay visible
    text = f"strong-{hue}" if depth > _STRONG else ("" if counts[column] else "faint")
    percent = f'<tspan class="small" x="{x + size / 2}" dy="15">{share:.0%}</tspan>' if counts[column] else ""
    middle = y + size / 2 + (-2 if counts[column] else 5)
    square = f'x="{x + 1}" y="{y + 1}" width="{size - 2}" height="{size - 2}" rx="5"'
    return (
        f'<rect class="well" {square}/><rect class="{hue}" {square} opacity="{depth:.3f}"/>'
        f'<text class="{text}" x="{x + size / 2}" y="{middle}" text-anchor="middle">{counts[column]}{percent}</text>'
    )


@dataclass(frozen=True)
class _Plot:
    """A square on the page: x and y from `start` to 1, y upwards."""

    left: float = 52
    top: float = 10
    side: float = 380
    start: float = 0.0

    def x(self, value: float) -> float:
        return round(self.left + (value - self.start) / (1 - self.start) * self.side, 2)

    def y(self, value: float) -> float:
        return round(self.top + (1 - value) / (1 - self.start) * self.side, 2)

    def points(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        return " ".join(f"{self.x(a)},{self.y(b)}" for a, b in zip(xs, ys, strict=True))

    def frame(self, *, x_title: str, y_title: str, below: float = 0, diagonal: bool = True) -> list[str]:
        """Grid, ticks, diagonal and axis titles; `below` is room for another strip under the plot."""
        parts = []
        zero, one, bottom = self.x(self.start), self.x(1), self.y(self.start)
        for tick in (self.start + (1 - self.start) * quarter for quarter in (0.0, 0.25, 0.5, 0.75, 1.0)):
            x, y = self.x(tick), self.y(tick)
            parts += [
                f'<line class="grid" x1="{x}" x2="{x}" y1="{bottom}" y2="{self.y(1)}"/>',
                f'<line class="grid" x1="{zero}" x2="{one}" y1="{y}" y2="{y}"/>',
                f'<text class="small" x="{zero - 8}" y="{y + 4}" text-anchor="end">{tick:g}</text>',
                f'<text class="small" x="{x}" y="{bottom + 18 + below}" text-anchor="middle">{tick:g}</text>',
            ]
        middle, title_y = self.left + self.side / 2, bottom + 40 + below
        if diagonal:
            parts.append(f'<line class="chance" x1="{zero}" y1="{bottom}" x2="{one}" y2="{self.y(1)}"/>')
        return [
            *parts,
            f'<text class="axis" x="{middle}" y="{title_y}" text-anchor="middle">{escape(x_title)}</text>',
            upright(y_title, y=self.top + self.side / 2),
        ]


def roc_svg(curves: Mapping[str, RocCurve | None]) -> Markup:
    """ROC curve of each class against the rest."""
    plot = _Plot()
    parts = plot.frame(x_title="false positive rate (1 - specificity)", y_title="true positive rate (sensitivity)")
    for index, (name, curve) in enumerate(curves.items()):
        if curve is not None:
            parts.append(_class_line(index, name, plot.points(curve.fpr, curve.tpr)))
    return _square(plot, parts, "ROC curve of each class against the rest")


def pr_svg(curves: Mapping[str, PrCurve | None]) -> Markup:
    """Precision-recall curve of each class against the rest, in steps, and a short line where a guess would be."""
    plot = _Plot()
    parts = plot.frame(x_title="recall (sensitivity)", y_title="precision", diagonal=False)
    for index, (name, curve) in enumerate(curves.items()):
        if curve is not None:
            steps = [curve.recall[0], *(recall for recall in curve.recall[:-1] for _ in (0, 1)), curve.recall[-1]]
            heights = [precision for precision in curve.precision for _ in (0, 1)]
            parts.append(_class_line(index, name, plot.points(steps, heights)))
            ends = f'x1="{plot.x(0.96)}" x2="{plot.x(1)}"'
            guess = f'{ends} y1="{plot.y(curve.prevalence)}" y2="{plot.y(curve.prevalence)}"'
            parts.append(f'<line class="curve {colour_class(index)}" {guess}/>')
    return _square(plot, parts, "Precision-recall curve of each class against the rest")


def _class_line(index: int, name: str, points: str) -> str:
    style = f'class="curve {colour_class(index)}" stroke-dasharray="{dash(index)}"'
    return f'<polyline {style} points="{points}"><title>{escape(name)}</title></polyline>'


def _square(plot: _Plot, parts: Sequence[str], label: str, *, below: float = 0) -> Markup:
    """A plot with its axes' titles, and room for a strip under it."""
    width, height = plot.left + plot.side + 14, plot.top + plot.side + 48 + below
    return draw(parts, width=width, height=height, label=label)


def reliability_svg(bins: Sequence[ReliabilityBin], before: Sequence[ReliabilityBin] = ()) -> Markup:
    """Reliability diagram: accuracy of the images of each confidence, and which confidences they have.

    Args:
        bins: of as many images each; a grey bar says where chance would put each of a perfectly calibrated model.
        before: of the same images with the scaling undone, as hollow points.
    """
    every = (*bins, *before)
    least = min(min(item.confidence, item.accuracy) for item in every)
    plot, strip = _Plot(start=0.5 if least >= 0.5 else 0.0), 18.0
    parts = plot.frame(x_title="confidence of the model", y_title="share that is right", below=strip + 8)
    parts += [_likely(plot, item) for item in bins if math.isfinite(item.likely_low)]
    parts += _reliability_line(plot, before, kind="before")
    parts += _reliability_line(plot, bins, kind="after")
    parts += [_block(plot, item, index, height=strip) for index, item in enumerate(bins)]
    label = "Reliability diagram: how often the model is right, by its confidence"
    return _square(plot, parts, label, below=strip + 8)


def _likely(plot: _Plot, item: ReliabilityBin) -> str:
    """Where chance would put the point of a perfectly calibrated model."""
    x, low, high = plot.x(item.confidence), max(item.likely_low, plot.start), item.likely_high
    return f'<line class="likely" x1="{x}" x2="{x}" y1="{plot.y(low)}" y2="{plot.y(high)}"/>'


def _reliability_line(plot: _Plot, bins: Sequence[ReliabilityBin], *, kind: str) -> list[str]:
    """Points joined by a line, in the order of confidence."""
    if not bins:
        return []
    points = plot.points([item.confidence for item in bins], [item.accuracy for item in bins])
    dots = [
        f'<circle class="{kind}" cx="{plot.x(item.confidence)}" cy="{plot.y(item.accuracy)}" r="4"><title>{kind}: '
        f"confidence {item.confidence:.2f}, right {item.accuracy:.2f}, {item.count:.0f} images</title></circle>"
        for item in bins
    ]
    return [f'<polyline class="join {kind}" points="{points}"/>', *dots]


def _block(plot: _Plot, item: ReliabilityBin, index: int, *, height: float) -> str:
    """The confidences of one bin's images, under the plot; all bins have as many."""
    low, high = plot.x(max(item.low, plot.start)), plot.x(max(item.high, plot.start))
    place = f'x="{low}" y="{plot.y(plot.start) + 8}" width="{max(high - low, 1.5):.2f}" height="{height}"'
    return f'<rect class="count{" even" if index % 2 else ""}" {place}/>'


def curve_svg(series: Mapping[str, Sequence[float]], *, x_title: str, y_title: str) -> Markup:
    """Figures that were taken again and again, such as after each epoch: one line each, from 0 up.

    Args:
        series: name to values, none below 0; the first stands at 1 on the x axis.
        x_title: of the horizontal axis.
        y_title: of the vertical axis, with its unit.
    """
    left, top, width, height = 52.0, 12.0, 400.0, 220.0
    most, last = max(max(values) for values in series.values()), max(map(len, series.values()))
    step = 0.25 if most <= 1 else 0.5
    steps = max(1, math.ceil(most / step - 1e-9))

    def x(place: int) -> float:
        return round(left + (place - 1) / max(1, last - 1) * width, 2)

    def y(value: float) -> float:
        return round(top + height - value / (steps * step) * height, 2)

    parts = []
    for tick in (number * step for number in range(steps + 1)):
        parts.append(f'<line class="grid" x1="{left}" x2="{left + width}" y1="{y(tick)}" y2="{y(tick)}"/>')
        parts.append(f'<text class="small" x="{left - 8}" y="{y(tick) + 4}" text-anchor="end">{tick:g}</text>')
    parts += [
        f'<text class="small" x="{x(place)}" y="{y(0) + 18}" text-anchor="middle">{place}</text>'
        for place in sorted({1, last})
    ]
    for index, (name, values) in enumerate(series.items()):
        points = " ".join(f"{x(place)},{y(value)}" for place, value in enumerate(values, start=1))
        parts += [
            f'<polyline class="curve {colour_class(index)}" stroke-dasharray="{dash(index)}" points="{points}"/>',
            f'<text x="{left + width + 8}" y="{y(values[-1]) + 4}">{escape(name)}</text>',
        ]
    parts.append(
        f'<text class="axis" x="{left + width / 2}" y="{y(0) + 34}" text-anchor="middle">{escape(x_title)}</text>'
    )
    parts.append(upright(y_title, y=top + height / 2))
    label = f"{y_title} by {x_title}: {', '.join(series)}"
    room = 16 + 7.5 * max(map(len, series))
    return draw(parts, width=left + width + room, height=top + height + 48, label=label)


def interval_svg(value: float, low: float, high: float) -> Markup:
    """A figure in [0, 1] as a dot on a line, with its interval as a bar; from 0.5 where it all lies above."""
    width, y = 200.0, 8
    start = 0.5 if min(value, low) >= 0.5 else 0.0

    def x(figure: float) -> str:
        return f"{28 + (figure - start) / (1 - start) * (width - 46):.1f}"

    parts = [
        f'<text class="axis" x="0" y="{y + 4}">{start:g}</text>',
        f'<text class="axis" x="{width}" y="{y + 4}" text-anchor="end">1</text>',
        f'<line class="track" x1="{x(start)}" x2="{x(1)}" y1="{y}" y2="{y}"/>',
        f'<line class="span" x1="{x(low)}" x2="{x(high)}" y1="{y}" y2="{y}"/>',
        f'<circle class="dot" cx="{x(value)}" cy="{y}" r="4"/>',
    ]
    return draw(
        parts, width=width, height=16, font=12, label=f"{value:.3f}, from {low:.3f} to {high:.3f}", kind="interval"
    )


def swatch_svg(index: int) -> Markup:
    """The line of a class, for legends and tables."""
    line = f'<line class="curve {colour_class(index)}" stroke-dasharray="{dash(index)}" x1="0" x2="30" y1="6" y2="6"/>'
    return draw([line], width=30, height=12, font=10, label="", kind="swatch")
