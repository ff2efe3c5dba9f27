"""What SVG pictures of pages have in common: how they begin and end, their axes, and how lines are told apart.

Colours come from the page's own style, by class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

COLOURS = 9  # of a page's style; a tenth class begins again, with another dash pattern
_DASHES = ("", "7 3", "2 3", "10 3 2 3")


def draw(
    parts: Sequence[str],
    *,
    width: float,
    height: float,
    label: str,
    kind: str = "plot",
    font: int = 13,
    fixed: bool = False,
) -> Markup:
    """Join elements to a drawing.

    Args:
        parts: SVG elements. Text in them must have been escaped.
        width: of the view box.
        height: of the view box.
        label: what a screen reader says; empty for decoration.
        kind: style classes of the page.
        font: size of the text, in units of the view box.
        fixed: keep the text readable on a phone, where the drawing then scrolls.
    """
    role = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    limits = f' style="min-width:{0.8 * width:.0f}px;max-width:{1.25 * width:.0f}px"' if fixed else ""
    head = f'<svg class="{kind}" viewBox="0 0 {width:.0f} {height:.0f}" font-size="{font}"{limits} {role}>'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - the parts are escaped by whoever made them


def upright(text: str, *, y: float) -> str:
    """The title of a vertical axis, at the left edge, centred at a height."""
    return f'<text class="axis" transform="translate(12 {y}) rotate(-90)" text-anchor="middle">{escape(text)}</text>'


def colour_class(index: int) -> str:
    """Style class of the colour of a class."""
    return f"c{index % COLOURS}"


def dash(index: int) -> str:
    """Dash pattern of a class: solid, then others, so that neighbours differ without colour."""
    return _DASHES[index % len(_DASHES)]


def ticks(low: float, high: float) -> list[float]:
    """Round numbers for an axis, from at or below `low` to at or above `high`, five or so steps apart."""
    rough = max(high - low, 1e-6) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]
