"""What every drawing begins and ends with."""

from xml.etree.ElementTree import Element, fromstring

import pytest

from secondread.page.drawing import colour_class, dash, draw, ticks, upright


def parsed(markup: str) -> Element:
    return fromstring(markup)  # noqa: S314 - our own


def test_a_drawing_says_what_it_shows_to_those_who_do_not_see_it() -> None:
    drawing = parsed(draw(["<g/>"], width=30, height=20, label='Risk & "coverage"'))
    assert drawing.attrib["role"] == "img"
    assert drawing.attrib["aria-label"] == 'Risk & "coverage"'
    assert drawing.attrib["viewBox"] == "0 0 30 20"
    assert [child.tag for child in drawing] == ["g"]


def test_decoration_is_passed_over_by_screen_readers() -> None:
    drawing = parsed(draw([], width=1, height=1, label="", kind="swatch"))
    assert drawing.attrib["aria-hidden"] == "true"
    assert drawing.attrib["class"] == "swatch"
    assert "role" not in drawing.attrib


def test_a_fixed_drawing_may_not_shrink_below_what_can_be_read() -> None:
    assert "min-width:80px" in draw([], width=100, height=1, label="x", fixed=True)
    assert "min-width" not in draw([], width=100, height=1, label="x")


def test_the_title_of_an_axis_cannot_break_out_of_the_drawing() -> None:
    title = parsed(upright("<script>", y=4))
    assert title.text == "<script>"
    assert "rotate(-90)" in title.attrib["transform"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 590, [0, 200, 400, 600]),
        (0.81, 0.86, [0.81, 0.82, 0.83, 0.84, 0.85, 0.86]),
        (0, 0, [0]),
    ],
)
def test_an_axis_has_round_numbers_around_all_values(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high)[0] <= low
    assert ticks(low, high)[-1] >= high
    assert ticks(low, high)[: len(expected)] == pytest.approx(expected)


def test_a_class_keeps_its_colour_and_its_dashes_tell_it_from_its_neighbours() -> None:
    assert len({(colour_class(index), dash(index)) for index in range(36)}) == 36
