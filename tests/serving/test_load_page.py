"""The page of a load test: what it says, and that it stands alone."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, fromstring

import pytest

from secondread.config.loadtest import LoadTestConfig
from secondread.serving.load_chart import Line, over_time_svg
from secondread.serving.load_page import load_test_markdown, render_load_test
from secondread.serving.load_result import Figures, Interval, LoadTestResult

CONFIG = LoadTestConfig(shape="spike", users=8)
PARTS = tuple(
    Interval(200, failures, p50, p50 and 2 * p50, p99, 2.0 * place, 2.0, users)
    for place, (p50, p99, failures, users) in enumerate(
        [(10.0, 40.0, 0, 2), (30.0, 600.0, 50, 8), (None, None, 200, 8), (11.0, 45.0, 0, 2)]
    )
)
RESULT = LoadTestResult(
    800,
    250,
    12.0,
    30.0,
    600.0,
    100.0,
    "<script>503</script>",
    "page.html",
    users=8,
    by_protocol={"REST": Figures(400, 125, 12.0, 30.0, 500.0), "gRPC": Figures(400, 125, 11.0, 29.0, 600.0)},
    intervals=PARTS,
    failure_counts={"<script>503</script>": 250},
)


def page(result: LoadTestResult = RESULT, *, own_images: bool = False) -> str:
    return render_load_test(result, CONFIG, own_images=own_images)


def chart(limit: float | None = None, *values: float | None) -> Element:
    line = Line("P99", values or (10.0, 20.0, 15.0), "c1")
    places = [float(place) for place in range(len(line.values))]
    return fromstring(  # noqa: S314 - our own
        over_time_svg(places, [line], total=len(places), title="ms", height=100, limit=limit)
    )


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    text = page()
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert not re.search(r"""(src|href)=["']?(?!data:)|url\((?!data:)|@import|https?://""", text)


def test_it_has_the_verdict_with_each_of_its_reasons() -> None:
    text = page()
    assert "✗ gate refused" in text
    for line in RESULT.gate(CONFIG).lines:
        assert line.reason.replace("<script>503</script>", "&lt;script&gt;503&lt;/script&gt;") in text


def test_it_shows_percentiles_rates_and_callers_over_time() -> None:
    labels = re.findall(r'aria-label="([^"]+ over time: [^"]+)"', page())
    assert labels == [
        "answer, ms over time: P50, P95, P99",
        "a second over time: requests a second, failures a second",
        "callers over time: callers",
    ]
    assert "P99 at 1 s: 40" in page()
    assert "failures a second at 3 s: 25" in page()


def test_it_says_what_was_sent_and_never_a_file_name() -> None:
    assert "phantoms of 512 pixels" in page()
    assert "of a folder" in page(own_images=True)


def test_without_a_request_there_is_still_a_page() -> None:
    text = page(LoadTestResult(0, 0, None, None, None, 0.0, "", "page.html"))
    assert "gate refused" in text
    assert "there was no request at all" in text


def test_the_summary_has_a_line_for_each_condition() -> None:
    lines = load_test_markdown(RESULT, CONFIG).strip().splitlines()
    assert lines[0].startswith("**secondread** under spike load: 800 requests at 100.0 a second, P99 600.0 ms")
    assert [line.split(":")[0] for line in lines[2:]] == ["- no", "- no", "- yes"]


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
