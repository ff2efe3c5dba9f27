"""What the readings of many images come to, as a page: counts alone, so that nothing in it leads to a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from secondread.export.repository.layout import RepositoryModel
from secondread.page.drawing import draw
from secondread.page.page import render_page
from secondread.serving.batch.read import Scored
from secondread.serving.protocol.contract import NOTICE

_TEMPLATE = Path(__file__).parent / "batch.html"
_MOST_ERRORS = 10  # lines; a kind of error that is rarer says little
_BAR = 180.0  # width of all images


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: of what is counted.
        title: the same for people; empty where there is none.
        count: of images.
        share: of the images that the table is of, 0 to 1.
    """

    name: str
    title: str
    count: int
    share: float

    @property
    def bar(self) -> Markup:
        """The share as a line."""
        parts = [
            f'<line class="track" x1="3" x2="{_BAR - 3}" y1="7" y2="7"/>',
            f'<line class="span" x1="3" x2="{3 + self.share * (_BAR - 6):.1f}" y1="7" y2="7"/>' if self.count else "",
        ]
        return draw(parts, width=_BAR, height=14, label="", kind="bar", fixed=True)


def render_scored(scored: Scored, model: RepositoryModel) -> str:
    """The page.

    Args:
        scored: what was counted.
        model: that gave the readings.
    """
    titles = {info.name: info.title.removeprefix(info.name) for info in model.config.taxonomy.classes}
    every = {name: scored.labels.get(name, 0) for name in titles}
    errors = _rows(scored.errors, scored.unreadable)
    return render_page(
        _TEMPLATE,
        {"percent": lambda share: f"{100 * share:.1f}\u202f%", "thousands": lambda count: f"{count:,}"},
        synthetic=model.config.synthetic,
        scored=scored,
        model=model,
        readable=scored.images - scored.unreadable,
        labels=_rows(every, scored.images - scored.unreadable, titles),
        urgency=_rows(scored.urgency, scored.images - scored.unreadable),
        errors=errors[:_MOST_ERRORS],
        rarer=sum(row.count for row in errors[_MOST_ERRORS:]),
        notice=NOTICE,
    )


def _rows(counts: Mapping[str, int], total: int, titles: Mapping[str, str] | None = None) -> list[Row]:
    """The most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return [Row(name, (titles or {}).get(name, ""), count, count / total if total else 0.0) for name, count in ordered]
