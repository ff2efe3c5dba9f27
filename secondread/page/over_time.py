"""Figures over time, as lines, all charts of a page on the same axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from secondread.page.drawing import dash, draw, ticks, upright
from secondread.page.marks import ROW, Mark, Phase, marks_svg, phases_svg, rows_of

_LEFT, _TOP, _WIDTH = 62.0, 22.0, 780.0  # above, room for the name of a limit at the very top
_UNITS = ((14_400.0, "hours", "h", 3600.0), (300.0, "minutes", "min", 60.0), (0.0, "seconds", "s", 1.0))  # from seconds
_DOTS = ((60, 2.6), (400, 1.4))  # up to so many values a dot each, of this radius; else only where a value is alone


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        name: of what it shows.
        values: in the order of the places; None where it is not known, which leaves a gap.
        colour: style class of the page.
        dash: index of its pattern, so that no meaning hangs on colour alone.
    """

    name: str
    values: Sequence[float | None]
    colour: str
    dash: int = 0


def over_time_svg(
    places: Sequence[float],
    lines: Sequence[Line],
    *,
    total: float,
    title: str,
    height: float,
    limit: float | None = None,
    floor: float = 0.0,
    phases: Sequence[Phase] = (),
    marks: Sequence[Mark] = (),
) -> Markup:
    """Draw lines over time.

    Args:
        places: seconds, of each value.
        lines: at least one, with as many values.
        total: seconds of the axis.
        title: of the vertical axis, with its unit.
        height: of the plot.
        limit: where a dashed line goes across; far above all values it is left out, so that these can be seen.
        floor: where the vertical axis begins.
        phases: stretches of time, named above the plot.
        marks: moments, in their order.
    """
    most = max((value for line in lines for value in line.values if value is not None), default=1.0) or 1.0
    if limit is not None and limit > 2 * most:
        limit = None
    rungs = ticks(floor, max(most, limit or 0))
    end = _LEFT + _WIDTH

    def x(second: float) -> float:
        return round(_LEFT + _WIDTH * min(second / total, 1), 2)

    rows = max((row + 1 for row in rows_of(marks, x) if row is not None), default=0)
    badges = ROW * bool(phases)
    top = _TOP + badges + ROW * rows
    bottom = top + height

    def y(value: float) -> float:
        return round(bottom - height * (value - rungs[0]) / (rungs[-1] - rungs[0]), 2)

    parts = [phases_svg(phases, x, y=ROW - 6, top=top, bottom=bottom)]
    for tick in rungs:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{end}" y1="{y(tick)}" y2="{y(tick)}"/>')
        parts.append(f'<text class="small" x="{_LEFT - 8}" y="{y(tick) + 4}" text-anchor="end">{tick:g}</text>')
    unit, short, seconds = next(each[1:] for each in _UNITS if total >= each[0])
    for tick in ticks(0, total / seconds):
        if tick * seconds <= total * 1.001:
            place = x(tick * seconds)
            parts.append(f'<line class="grid" x1="{place}" x2="{place}" y1="{top}" y2="{bottom}"/>')
            parts.append(f'<text class="small" x="{place}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
    if limit is not None:
        parts.append(f'<line class="chance" x1="{_LEFT}" x2="{end}" y1="{y(limit)}" y2="{y(limit)}"/>')
    parts.append(marks_svg(marks, x, top=badges, plot=top, bottom=bottom))
    for line in lines:
        parts += _polylines([None if value is None else (x(at), y(value)) for at, value in _pairs(places, line)], line)
        parts += [
            f'<circle style="fill:var(--{line.colour})" cx="{x(at)}" cy="{y(value)}" r="{radius}">'
            f"<title>{escape(line.name)} at {at / seconds:.4g} {short}: {value:.4g}</title></circle>"
            for at, value, radius in _dots(places, line)
        ]
    if limit is not None:
        above = f'x="{end - 6}" y="{y(limit) - 5}"'
        parts.append(f'<text class="small over" {above} text-anchor="end">limit {limit:g}</text>')
    parts.append(f'<text class="axis" x="{_LEFT + _WIDTH / 2}" y="{bottom + 36}" text-anchor="middle">{unit}</text>')
    parts.append(upright(title, y=top + height / 2))
    label = f"{title} over time: {', '.join(line.name for line in lines)}"
    return draw(parts, width=end + 18, height=bottom + 44, label=label, kind="plot wide", fixed=True)


def swatch_svg(line: Line) -> Markup:
    """Its line, for a legend."""
    stroke = f'<line class="curve {line.colour}" stroke-dasharray="{dash(line.dash)}" x1="0" x2="30" y1="6" y2="6"/>'
    return draw([stroke], width=30, height=12, font=10, label="", kind="swatch")


def _pairs(places: Sequence[float], line: Line) -> list[tuple[float, float | None]]:
    return list(zip(places, line.values, strict=True))


def _dots(places: Sequence[float], line: Line) -> list[tuple[float, float, float]]:
    """Place, value and radius of each value that has a dot."""
    usual = next((radius for most, radius in _DOTS if len(places) <= most), None)
    around = [None, *line.values, None]
    return [
        (at, value, usual or _DOTS[0][1])
        for number, (at, value) in enumerate(_pairs(places, line))
        if value is not None and (usual or around[number] is around[number + 2] is None)
    ]


def _polylines(points: Sequence[tuple[float, float] | None], line: Line) -> list[str]:
    """The line in as many pieces as its gaps leave."""
    pieces: list[list[str]] = [[]]
    for point in points:
        if point is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{point[0]},{point[1]}")
    style = f'class="curve {line.colour}" stroke-dasharray="{dash(line.dash)}"'
    return [f'<polyline {style} points="{" ".join(piece)}"/>' for piece in pieces if len(piece) > 1]
