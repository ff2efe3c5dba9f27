"""Lines over time: what is not known is a gap, and a limit is seen."""

from __future__ import annotations

from xml.etree.ElementTree import Element, fromstring

import pytest

from secondread.page.marks import Mark, Phase
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


def test_phases_and_marks_stand_above_the_plot() -> None:
    phases = [Phase(0, 50, "canary", "stage canary"), Phase(50, 100, "half", "stage half")]
    marks = [Mark(50, "2", "plain", "next stage"), Mark(50, "3", "look", "alarm")]
    lines = [Line("P99", [10.0, 20.0], "c1")]
    drawn = fromstring(  # noqa: S314 - our own
        over_time_svg([25, 75], lines, total=100, title="ms", height=100, phases=phases, marks=marks)
    )
    plot = min(float(line.attrib["y1"]) for line in drawn.iter("line") if line.get("class") == "grid")
    badges = [rect for rect in drawn.iter("rect") if rect.get("rx")]
    assert len(badges) == 2
    assert all(float(each.attrib["y"]) + float(each.attrib["height"]) < plot for each in badges)
    names = {text.text: float(text.attrib["y"]) for text in drawn.iter("text") if text.text in ("canary", "half")}
    assert all(0 < y < min(float(each.attrib["y"]) for each in badges) for y in names.values())
    assert len(names) == 2


def test_very_many_values_have_no_dots_but_where_one_is_alone() -> None:
    drawn = chart(None, *[1.0] * 500, None, 2.0, None)
    (dot,) = drawn.iter("circle")
    (title,) = dot.iter("title")
    assert title.text == "P99 at 8.35 min: 2"


def test_an_axis_may_begin_above_zero() -> None:
    line = Line("confidence", [80.0, 90.0], "c1")
    drawn = fromstring(over_time_svg([1, 2], [line], total=3, title="%", height=100, floor=50))  # noqa: S314 - our own
    heights = [float(circle.attrib["cy"]) for circle in drawn.iter("circle")]
    assert "50" in [text.text for text in drawn.iter("text")]
    assert 15 < heights[0] - heights[1] < 30


@pytest.mark.parametrize(("total", "unit"), [(200, "seconds"), (7200, "minutes"), (50_000, "hours")])
def test_the_axis_has_the_unit_that_gives_small_numbers(total: float, unit: str) -> None:
    drawn = over_time_svg([1], [Line("P99", [1.0], "c1")], total=total, title="ms", height=100)
    assert f">{unit}</text>" in drawn
