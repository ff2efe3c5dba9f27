"""What happened when, on an axis of time: phases that have a name, and moments that have a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import escape

ROW = 20.0  # height of a row of names or of badges
_ROWS = 3  # of badges at most; a moment that finds no place has its line alone
_LETTER = 6.4  # width of a letter, at most


@dataclass(frozen=True)
class Phase:
    """A stretch of time with a name.

    Attributes:
        start, end: seconds from the axis's beginning.
        name: shown where there is room for it.
        title: what it says when it is pointed at.
    """

    start: float
    end: float
    name: str
    title: str


@dataclass(frozen=True)
class Mark:
    """A moment at which something happened.

    Attributes:
        at: seconds from the axis's beginning.
        text: of its badge: a number or a sign or two.
        kind: style class of the page: plain, good, bad or look.
        title: what it says when it is pointed at.
        link: where its badge leads on the page; empty for nowhere.
    """

    at: float
    text: str
    kind: str
    title: str
    link: str = ""


def rows_of(marks: Sequence[Mark], x: Callable[[float], float]) -> list[int | None]:
    """In which row the badge of each mark has room, from 0; None where there is none.

    Args:
        marks: in the order of time.
        x: place of a second.
    """
    ends = [float("-inf")] * _ROWS
    rows: list[int | None] = []
    for mark in marks:
        half = _half(mark) + 1
        row = next((row for row, end in enumerate(ends) if x(mark.at) - half >= end), None)
        if row is not None:
            ends[row] = x(mark.at) + half
        rows.append(row)
    return rows


def phases_svg(phases: Sequence[Phase], x: Callable[[float], float], *, y: float, top: float, bottom: float) -> str:
    """Every other phase shaded from `top` to `bottom`; at the height `y` the names of those that are wide enough."""
    parts = []
    for number, phase in enumerate(phases):
        left, right = x(phase.start), x(phase.end)
        shade = "phase" if number % 2 else "phase none"
        box = f'x="{left}" y="{top}" width="{max(0.0, right - left):.2f}" height="{bottom - top}"'
        parts.append(f'<rect class="{shade}" {box}><title>{escape(phase.title)}</title></rect>')
        if _LETTER * len(phase.name) <= right - left:
            place = f'x="{(left + right) / 2:.2f}" y="{y}" text-anchor="middle"'
            parts.append(f'<text class="small" {place}>{escape(phase.name)}</text>')
    return "".join(parts)


def marks_svg(marks: Sequence[Mark], x: Callable[[float], float], *, top: float, plot: float, bottom: float) -> str:
    """A line for each mark down to `bottom`, from its badge in the rows that begin at `top`, or from the plot's top."""
    rows = rows_of(marks, x)
    lines, badges = [], []
    for mark, row in zip(marks, rows, strict=True):
        place, start = x(mark.at), plot if row is None else top + ROW * row
        line = f'<line x1="{place}" x2="{place}" y1="{start}" y2="{bottom}"/>'
        lines.append(_shown(mark, line))
        if row is not None:
            half, height = _half(mark), ROW - 4
            badge = (
                f'<rect x="{place - half:.2f}" y="{start}" width="{2 * half:.2f}" height="{height}" rx="{height / 2}"/>'
                f'<text x="{place}" y="{start + 12}" text-anchor="middle">{escape(mark.text)}</text>'
            )
            shown = _shown(mark, badge)
            badges.append(f'<a href="{escape(mark.link)}">{shown}</a>' if mark.link else shown)
    return "".join([*lines, *badges])  # no line goes through a badge


def _shown(mark: Mark, drawn: str) -> str:
    return f'<g class="mark {mark.kind}"><title>{escape(mark.title)}</title>{drawn}</g>'


def _half(mark: Mark) -> float:
    """Half the width of a badge."""
    return max(8.0, 4.5 + _LETTER * len(mark.text) / 2)
