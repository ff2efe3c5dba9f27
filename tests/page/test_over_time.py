"""Lines over time: what is not known is a gap, and a limit is seen."""

from __future__ import annotations

from xml.etree.ElementTree import Element, fromstring

import pytest

from secondread.page.over_time import Line, over_time_svg


def chart(limit: float | None = None, *values: float | None) -> Element:
    line = Line("P99", values or (10.0, 20.0, 15.0), "c1")
    places = [float(place) for place in range(len(line.values))]
    return fromstring(  # noqa: S314 - our own
        over_time_svg(places, [line], total=len(places), title="ms", height=100, limit=limit)
    )


def test_where_nothing_was_answered_the_line_has_a_gap() -> None:
    drawn = chart(None, 10.0, 20.0, None, 15.0, 10.0)
    assert [len(line.attrib["points"].split()) for line in drawn.iter("polyline")] == [2, 2]
    assert len(list(drawn.iter("circle"))) == 4


def test_a_value_alone_between_gaps_is_still_seen() -> None:
    drawn = chart(None, None, 20.0, None)
    assert not list(drawn.iter("polyline"))
    assert len(list(drawn.iter("circle"))) == 1


@pytest.mark.parametrize(("limit", "shown"), [(None, False), (15.0, True), (20.0, True), (40.0, True), (300.0, False)])
def test_the_limit_is_drawn_unless_it_would_squash_everything(limit: float | None, shown: bool) -> None:
    drawn = chart(limit)
    assert any(line.get("class") == "chance" for line in drawn.iter("line")) == shown
    assert all(float(text.attrib.get("y", 99)) > 12 for text in drawn.iter("text"))  # none is cut off above
    heights = [float(circle.attrib["cy"]) for circle in drawn.iter("circle")]
    assert max(heights) - min(heights) > 10


def test_higher_values_are_higher_and_later_ones_further_right() -> None:
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in chart(None, 5.0, 20.0, 10.0).iter("circle")]
    assert [x for x, _ in dots] == sorted(x for x, _ in dots)
    assert dots[1][1] < dots[2][1] < dots[0][1]
