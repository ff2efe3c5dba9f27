"""Pictures of what the model may be trusted with: risk by coverage, and the risk dial. As `report.pictures`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup, escape

from secondread.evaluation.reading_room.risk_dial import DialSetting, RiskDial
from secondread.evaluation.reading_room.selective import RiskCoverage, Selective
from secondread.page.drawing import draw, upright

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.25, 1.0)  # between the ticks of an axis of shares; the finest that is not crowded
_MOST_TICKS = 6
_TICK_ROOM = 0.08  # of the axis, that the text of a tick takes


@dataclass(frozen=True)
class _Axes:
    """A rectangle on the page: x in [0, 1], y from 0 to `top_value`, upwards."""

    top_value: float
    left: float = 58
    top: float = 12
    width: float = 400
    height: float = 240

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the drawing."""
        return self.left + self.width + 20, self.top + self.height + 54

    def x(self, value: float) -> float:
        return round(self.left + value * self.width, 2)

    def y(self, value: float) -> float:
        return round(self.top + (1 - value / self.top_value) * self.height, 2)

    def points(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        return " ".join(f"{self.x(a)},{self.y(b)}" for a, b in zip(xs, ys, strict=True))

    def frame(self, ticks: Sequence[tuple[float, str]], *, x_title: str, y_title: str) -> list[str]:
        """Grid, ticks and titles; `ticks` are those of the x axis, (place in [0, 1], text)."""
        left, right, bottom, top = self.x(0), self.x(1), self.y(0), self.y(self.top_value)
        middle = self.left + self.width / 2
        parts = []
        step = _step(self.top_value)
        for number in range(round(self.top_value / step) + 1):
            y = self.y(number * step)
            parts += [
                f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>',
                f'<text class="small" x="{left - 8}" y="{y + 4}" text-anchor="end">{percent(number * step)}</text>',
            ]
        for place, text in ticks:
            x = self.x(place)
            parts += [
                f'<line class="grid" x1="{x}" x2="{x}" y1="{bottom}" y2="{top}"/>',
                f'<text class="small" x="{x}" y="{bottom + 18}" text-anchor="middle">{escape(text)}</text>',
            ]
        return [
            *parts,
            f'<text class="axis" x="{middle}" y="{bottom + 40}" text-anchor="middle">{escape(x_title)}</text>',
            upright(y_title, y=self.top + self.height / 2),
        ]


def percent(share: float) -> str:
    """A share in per cent, with as many digits as it needs."""
    return f"{100 * share:.3g} %"


def risk_coverage_svg(found: Selective) -> Markup:
    """Risk by coverage with its interval, the chosen risk as a line, and the point that keeps it as a dot."""
    curve, chosen = found.curve, found.abstention
    known = [high for high in curve.high if math.isfinite(high)]
    # the first images of all are too few to say anything: their bounds may leave the picture
    most = max([*curve.risk, chosen.risk, *known[len(known) // 4 :]]) if known else max(*curve.risk, chosen.risk)
    axes = _Axes(_top(most))
    ticks = [(tick / 4, percent(tick / 4)) for tick in range(5)]
    parts = axes.frame(ticks, x_title="images answered (coverage)", y_title="wrong among them (risk)")
    parts += _bands(axes, curve)
    y = axes.y(chosen.risk)
    parts += [
        f'<line class="chance" x1="{axes.x(0)}" x2="{axes.x(1)}" y1="{y}" y2="{y}"/>',
        f'<polyline class="curve c0" points="{axes.points(curve.coverage, curve.risk)}"/>',
    ]
    if chosen.coverage:
        text = f"answers from a confidence of {chosen.threshold:.3f} on: {percent(chosen.coverage)} of the images"
        dot = f'cx="{axes.x(chosen.coverage)}" cy="{axes.y(chosen.observed)}" r="6"'
        parts.append(f'<circle class="dot" {dot}><title>{text}</title></circle>')
        kept = f"kept at {chosen.risk:.1%} by answering {chosen.coverage:.0%}"
    else:
        kept = f"no confidence is shown to keep it at {chosen.risk:.1%}"
    width, height = axes.size
    return draw(parts, width=width, height=height, label=f"Risk by coverage; {kept}")


def _bands(axes: _Axes, curve: RiskCoverage) -> list[str]:
    """The interval as an area, one for each stretch of points that have one."""
    parts = []
    for known, run in groupby(range(len(curve.risk)), key=lambda place: math.isfinite(curve.high[place])):
        places = list(run)
        if known and len(places) > 1:
            xs = [curve.coverage[place] for place in places]
            highs = [min(curve.high[place], axes.top_value) for place in places]
            lows = [curve.low[place] for place in places]
            outline = axes.points([*xs, *reversed(xs)], [*highs, *reversed(lows)])
            parts.append(f'<polygon class="right" opacity="0.18" points="{outline}"/>')
    return parts


def risk_dial_svg(dial: RiskDial) -> Markup:
    """Share that goes to a second physician by the accepted share of wrong closures, on a logarithmic axis."""
    low, high = math.log(dial.settings[0].accepted), math.log(dial.settings[-1].accepted)

    def place(share: float) -> float:
        return (math.log(share) - low) / (high - low) if high > low else 0.5

    axes = _Axes(1.0)
    ticks = [  # the chosen position is named, and of the others those that leave it room
        (place(setting.accepted), percent(setting.accepted))
        for setting in dial.settings
        if setting is dial.chosen or abs(place(setting.accepted) - place(dial.chosen.accepted)) >= _TICK_ROOM
    ]
    x_title, y_title = "wrong closures accepted, of all studies", "goes to a second physician"
    parts = axes.frame(ticks, x_title=x_title, y_title=y_title)
    xs = [place(setting.accepted) for setting in dial.settings]
    parts.append(
        f'<polyline class="curve c0" points="{axes.points(xs, [each.escalated.value for each in dial.settings])}"/>'
    )
    for setting, x in zip(dial.settings, xs, strict=True):
        parts += _setting(axes, setting, x, radius=7 if setting is dial.chosen else 3.5)
    chosen = dial.chosen
    label = f"Risk dial: {percent(chosen.accepted)} wrong closures need {chosen.escalated.value:.0%} escalated"
    width, height = axes.size
    return draw(parts, width=width, height=height, label=label)


def _setting(axes: _Axes, setting: DialSetting, x: float, *, radius: float) -> list[str]:
    """One position of the dial: its interval and a dot, with the numbers for whoever points at it."""
    found = setting.escalated
    parts = []
    if math.isfinite(found.low):
        ends = f'y1="{axes.y(found.low)}" y2="{axes.y(found.high)}"'
        parts.append(f'<line class="span" x1="{axes.x(x)}" x2="{axes.x(x)}" {ends}/>')
    text = f"{percent(setting.accepted)} accepted: {found.value:.1%} escalated"
    dot = f'cx="{axes.x(x)}" cy="{axes.y(found.value)}" r="{radius}"'
    parts.append(f'<circle class="dot" {dot}><title>{text}</title></circle>')
    return parts


def _step(top_value: float) -> float:
    """Distance of the ticks from 0 to a value."""
    return next((step for step in _STEPS if top_value / step <= _MOST_TICKS), 1.0)


def _top(most: float) -> float:
    """End of an axis that holds a share: the next tick, at most 1."""
    step = _step(most)
    return min(1.0, step * max(1, math.ceil(most / step - 1e-9)))
