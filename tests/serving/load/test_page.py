"""The page of a load test: what it says, and that it stands alone."""

from __future__ import annotations

import re

from secondread.config.loadtest import LoadTestConfig
from secondread.serving.load.page import load_test_markdown, render_load_test
from secondread.serving.load.result import Figures, Interval, LoadTestResult

CONFIG = LoadTestConfig(shape="spike", users=8)
PARTS = tuple(
    Interval(200, failures, p50, p50 and 2 * p50, p99, p99 and p99 + 1, 2.0 * place, 2.0, users)
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
    650.0,
    100.0,
    "<script>503</script>",
    "page.html",
    users=8,
    by_protocol={
        "REST": Figures(400, 125, 12.0, 30.0, 500.0, 520.0),
        "gRPC": Figures(400, 125, 11.0, 29.0, 600.0, 650.0),
    },
    intervals=PARTS,
    failure_counts={"<script>503</script>": 250},
)


def page(result: LoadTestResult = RESULT, *, own_images: bool = False) -> str:
    return render_load_test(result, CONFIG, own_images=own_images)


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
    text = page(LoadTestResult(0, 0, None, None, None, None, 0.0, "", "page.html"))
    assert "gate refused" in text
    assert "there was no request at all" in text


def test_the_summary_has_a_line_for_each_condition() -> None:
    lines = load_test_markdown(RESULT, CONFIG).strip().splitlines()
    assert lines[0].startswith("**secondread** under spike load: 800 requests, 100.0 answered a second, P99 600.0 ms")
    assert [line.split(":")[0] for line in lines[2:]] == ["- no", "- no", "- yes"]
