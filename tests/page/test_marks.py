"""What happened when: names where there is room for them, and badges that do not lie on each other."""

from __future__ import annotations

from xml.etree.ElementTree import Element, fromstring

from secondread.page.marks import Mark, Phase, marks_svg, phases_svg, rows_of


def place(second: float) -> float:
    return 10 * second


def parsed(markup: str) -> Element:
    return fromstring(f"<svg>{markup}</svg>")  # noqa: S314 - our own


def mark(at: float, text: str = "1") -> Mark:
    return Mark(at, text, "plain", "next stage")


def test_a_phase_is_named_where_its_name_has_room() -> None:
    phases = [Phase(0, 1, "staging", "stage staging"), Phase(1, 20, "shadow", "stage shadow")]
    drawn = parsed(phases_svg(phases, place, y=14, top=20, bottom=100))
    assert [text.text for text in drawn.iter("text")] == ["shadow"]
    assert [title.text for title in drawn.iter("title")] == ["stage staging", "stage shadow"]


def test_badges_that_would_lie_on_each_other_take_another_row() -> None:
    assert rows_of([mark(0), mark(0.5), mark(0.6), mark(10)], place) == [0, 1, 2, 0]


def test_a_moment_that_finds_no_row_keeps_its_line_and_its_words() -> None:
    marks = [mark(0), mark(0.1), mark(0.2), Mark(0.3, "4", "plain", "3.5 min")]
    assert rows_of(marks, place)[-1] is None
    drawn = parsed(marks_svg(marks, place, top=0, plot=60, bottom=100))
    assert [len(list(drawn.iter(tag))) for tag in ("line", "rect")] == [4, 3]
    assert "3.5 min" in [title.text for title in drawn.iter("title")]
    assert [line.attrib["y1"] for line in drawn.iter("line")] == ["0.0", "20.0", "40.0", "60"]


def test_what_is_said_of_a_moment_cannot_become_markup() -> None:
    drawn = parsed(marks_svg([Mark(1, "<b>", "plain", "<script>", '#"x')], place, top=0, plot=5, bottom=9))
    assert {each.tag for each in drawn.iter()} == {"svg", "a", "g", "title", "line", "rect", "text"}
    assert [each.attrib["href"] for each in drawn.iter("a")] == ['#"x']


def test_no_line_goes_through_a_badge() -> None:
    drawn = parsed(marks_svg([mark(0), mark(0.1)], place, top=0, plot=60, bottom=100))
    kinds = [each.tag for each in drawn.iter() if each.tag in ("line", "rect")]
    assert kinds == ["line", "line", "rect", "rect"]
