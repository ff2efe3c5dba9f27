"""For whom a model is worse and what breaks it, drawn: gaps as a forest plot, and accuracy over strength by corruption.

As in `secondread.evaluation.report.pictures`, every function returns safe markup that takes its colours from the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from secondread.evaluation.stress.corruptions import CORRUPTIONS, STRENGTHS
from secondread.evaluation.stress.robustness import Robustness
from secondread.evaluation.subgroups.results import SAME_MIX, WORSE, Gap, Group, Subgroups
from secondread.page.drawing import draw

_ROW = 24.0  # height of a line of the forest plot
_LABELS, _FOREST, _FIGURES = 270.0, 340.0, 240.0  # widths of its columns
_LONGEST = 22  # letters of a group's name; the whole is shown where one points at it
_REACHES = (2.0, 4.0, 10.0, 20.0, 40.0, 60.0, 100.0)  # percentage points that it may hold to either side

_PANELS = 4  # side by side
_PANEL_WIDTH, _PANEL_HEIGHT = 150.0, 100.0
_LEFT, _TOP, _BETWEEN = 40.0, 30.0, 44.0  # room beside, above and between the panels


def forest_svg(found: Subgroups, *, figure: str = SAME_MIX) -> Markup:
    """The gap of each group from the rest with its interval, by factor; a diamond where it is flagged.

    Args:
        found: of an evaluation.
        figure: of the gaps, such as `same_mix` or `accuracy`.
    """
    gaps = [gap for factor in found.factors for group in factor.groups for gap in _gaps(group, figure)]
    rows = sum(1 + len(factor.groups) for factor in found.factors)
    forest = _Forest(reach=_reach(gaps), bottom=_ROW * rows + 6)
    parts, y = forest.frame(), 0.0
    for factor in found.factors:
        y += _ROW
        parts.append(f'<text class="axis" x="0" y="{y - 6}">{escape(factor.name.replace("_", " "))}</text>')
        for group in factor.groups:
            y += _ROW
            parts += forest.line(group, _gaps(group, figure), y=y - 10)
    label = "Gap of each group from the rest in percentage points, with intervals that all hold at once"
    return draw(parts, width=_LABELS + _FOREST + _FIGURES, height=forest.bottom + 46, label=label, kind="plot wide")


def _gaps(group: Group, figure: str) -> tuple[Gap, ...]:
    """The gap to draw, or none."""
    return tuple(gap for gap in group.gaps if gap.figure == figure)[:1]


def _reach(gaps: Sequence[Gap]) -> float:
    """Percentage points that hold every interval."""
    ends = [abs(100 * end) for gap in gaps for end in (gap.value, gap.low, gap.high) if math.isfinite(end)]
    most = min(max(ends, default=_REACHES[2]), _REACHES[-1])
    return next(reach for reach in _REACHES if most <= reach)


@dataclass(frozen=True)
class _Forest:
    """The middle column: percentage points from -reach to reach, and how far down it goes."""

    reach: float
    bottom: float

    def x(self, points: float) -> float:
        inside = max(-self.reach, min(self.reach, points))
        return round(_LABELS + (1 + inside / self.reach) / 2 * _FOREST, 2)

    def frame(self) -> list[str]:
        """Lines, ticks and the meaning of both sides."""
        parts = []
        for tick in (-self.reach, -self.reach / 2, 0.0, self.reach / 2, self.reach):
            x, text = self.x(tick), f"{tick:+g}" if tick else "0"
            parts.append(f'<line class="{"grid" if tick else "chance"}" x1="{x}" x2="{x}" y1="6" y2="{self.bottom}"/>')
            parts.append(f'<text class="small" x="{x}" y="{self.bottom + 18}" text-anchor="middle">{text}</text>')
        y = self.bottom + 38
        return [
            *parts,
            f'<text class="axis" x="{self.x(0) - 14}" y="{y}" text-anchor="end">worse than the rest</text>',
            f'<text class="axis" x="{self.x(0) + 14}" y="{y}">better (percentage points)</text>',
        ]

    def line(self, group: Group, gaps: Sequence[Gap], *, y: float) -> list[str]:
        """One group: its name, how many there are, its gap and the verdict."""
        patients = f'<tspan class="small"> {group.patients} patients</tspan>'
        name = group.name if len(group.name) <= _LONGEST else f"{group.name[: _LONGEST - 1].rstrip()}…"
        title = f"<title>{escape(group.name)}</title>"
        parts = [f'<text x="12" y="{y + 4}">{title}{escape(name)}{patients}</text>']
        text = "not compared"
        for gap in gaps:
            parts += self._mark(gap, y=y)
            text = gap.verdict
            if math.isfinite(gap.low):
                text = f"{100 * gap.value:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f}) {gap.verdict}"
        return [*parts, f'<text class="small" x="{_LABELS + _FOREST + 14}" y="{y + 4}">{escape(text)}</text>']

    def _mark(self, gap: Gap, *, y: float) -> list[str]:
        if not math.isfinite(gap.low):
            return []
        x, ends = self.x(100 * gap.value), f'x1="{self.x(100 * gap.low)}" x2="{self.x(100 * gap.high)}"'
        if not gap.flagged:
            span = f'<line class="span" {ends} y1="{y}" y2="{y}"/>'
            return [span, f'<circle class="dot" cx="{x}" cy="{y}" r="4"/>']
        curve, diamond = ("c1", "wrong") if gap.verdict == WORSE else ("c0", "right")
        corners = f"{x},{y - 7} {x + 7},{y} {x},{y + 7} {x - 7},{y}"
        span = f'<line class="curve {curve}" {ends} y1="{y}" y2="{y}"/>'
        return [span, f'<polygon class="{diamond}" points="{corners}"/>']


def strengths_svg(found: Robustness, *, figure: str = "accuracy") -> Markup:
    """A small plot for each corruption: a figure over the strength, with the interval of its change.

    The broken line is the figure of the same images as they are.

    Args:
        found: of an evaluation.
        figure: of `secondread.evaluation.stress.robustness.FIGURES`.
    """
    parts: list[str] = []
    step_x, step_y = _PANEL_WIDTH + _BETWEEN, _PANEL_HEIGHT + _TOP + _BETWEEN
    for place, name in enumerate(found.corruptions):
        row, column = divmod(place, _PANELS)
        panel = _Panel(left=_LEFT + column * step_x, top=_TOP + row * step_y)
        parts += [*panel.frame(CORRUPTIONS[name].title), *panel.curve(found, name, figure)]
    rows, columns = -(-len(found.corruptions) // _PANELS), min(_PANELS, len(found.corruptions))
    label = f"{figure.replace('_', ' ')} over the strength of each corruption, 0 being the images as they are"
    return draw(parts, width=_LEFT + columns * step_x, height=rows * step_y, label=label, kind="plot wide")


@dataclass(frozen=True)
class _Panel:
    """One small plot: strength 0 to 5 across, 0 to 1 upwards."""

    left: float
    top: float

    def x(self, strength: float) -> float:
        return round(self.left + strength / STRENGTHS[-1] * _PANEL_WIDTH, 2)

    def y(self, value: float) -> float:
        return round(self.top + (1 - max(0.0, min(1.0, value))) * _PANEL_HEIGHT, 2)

    def frame(self, title: str) -> list[str]:
        parts = [f'<text x="{self.left}" y="{self.top - 10}">{escape(title)}</text>']
        for value in (0.0, 0.5, 1.0):
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{self.x(0)}" x2="{self.x(STRENGTHS[-1])}" y1="{y}" y2="{y}"/>')
            parts.append(f'<text class="small" x="{self.left - 6}" y="{y + 4}" text-anchor="end">{value:g}</text>')
        return parts + [
            f'<text class="small" x="{self.x(strength)}" y="{self.y(0) + 16}" text-anchor="middle">{strength}</text>'
            for strength in (0, *STRENGTHS)
        ]

    def curve(self, found: Robustness, name: str, figure: str) -> list[str]:
        clean, changes = found.clean[figure], [figures[figure] for figures in found.corruptions[name]]
        before = f'x1="{self.x(0)}" x2="{self.x(STRENGTHS[-1])}" y1="{self.y(clean)}" y2="{self.y(clean)}"'
        parts = [f'<line class="chance" {before}/>']
        for strength, change in zip(STRENGTHS, changes, strict=True):
            if math.isfinite(change.low):
                low, high = self.y(clean + change.low), self.y(clean + change.high)
                parts.append(
                    f'<line class="span" x1="{self.x(strength)}" x2="{self.x(strength)}" y1="{low}" y2="{high}"/>'
                )
        values = [clean, *(change.value for change in changes)]
        points = " ".join(f"{self.x(strength)},{self.y(value)}" for strength, value in enumerate(values))
        texts = ", ".join(f"{value:.2f}" for value in values)
        title = f"<title>{escape(CORRUPTIONS[name].title)}: {texts}</title>"
        return [*parts, f'<polyline class="curve c0" points="{points}">{title}</polyline>']
