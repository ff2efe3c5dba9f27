"""The timeline of a rollout: what it says, that it stands alone, and that what is not known is a gap."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest
from playwright.sync_api import Browser, sync_playwright

from secondread.rollout.record.record import RolloutRecord, Word
from secondread.rollout.view.page import timeline_page
from tests.rollout.controller.test_controller import run
from tests.rollout.view.conftest import Run, Watched

CHROMIUM = "/usr/bin/chromium"
BOTH = "new: version 2, stable: version 1"


class Parsed(HTMLParser):
    """Fails where an element is not closed as it should be; keeps the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def words(page: str) -> str:
    return " ".join(Parsed(page).text.split())


def chart(page: str, title: str) -> Element:
    (found,) = re.findall(rf'<svg class="plot wide"[^>]*aria-label="{re.escape(title)} over time.*?</svg>', page)
    return fromstring(found)  # noqa: S314 - our own


def pieces(drawn: Element) -> list[int]:
    """How many points each piece of a line has."""
    return [len(each.attrib["points"].split()) for each in drawn.iter("polyline")]


def test_the_page_is_whole_needs_nothing_else_and_runs_nothing(carried: Run) -> None:
    page = timeline_page(carried())
    Parsed(page)
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert not re.search(r"""(src|href)=["']?(?!data:|["']?#)|url\((?!data:)|@import|https?://""", page)


def test_its_first_sentence_says_what_happened(carried: Run) -> None:
    page = timeline_page(carried())
    (lead,) = re.findall(r'<p class="lead">(.*?)</p>', page)
    assert lead.startswith("Version 2 of chest took the place of version 1: since 1970-01-12 13:53 UTC")
    assert "✓ promoted" in page


def test_one_that_was_rolled_back_says_why_and_what_it_answered(carried: Run, world: Watched) -> None:
    carried(3)
    world.canary = {"failed": 200}
    text = words(timeline_page(carried(first=4)))
    assert "✗ rolled back" in text
    assert "In stage canary the new version is worse: 20.00% requests that failed" in text
    assert "Requests it answered 1,000 of 30,000 (3.33 %)" in text
    assert "Of these failed 200 (20.00 %)" in text


def test_charts_show_both_versions_over_the_whole_time(carried: Run) -> None:
    page = timeline_page(carried())
    assert re.findall(r'aria-label="([^"]+) over time: ([^"]+)"', page) == [
        ("requests, %", f"{BOTH}, mirrored to the new one"),
        ("requests a second", BOTH),
        ("50 % within, ms", BOTH),
        ("99 % within, ms", BOTH),
        ("failed, %", BOTH),
        ("images, %", "cxr-covid, cxr-normal"),
        ("images, %", "cxr-covid, cxr-normal"),
        ("median confidence, %", BOTH),
        ("out of distribution, %", BOTH),
    ]
    assert pieces(chart(page, "requests a second")) == [6, 6]
    assert pieces(chart(page, "99 % within, ms")) == [6, 4]  # with all the traffic at the new one there is no other


def test_what_is_not_known_is_a_gap(carried: Run, world: Watched) -> None:
    world.dark = (3,)
    page = timeline_page(carried())
    assert pieces(chart(page, "requests, %")) == [2, 4, 2, 4, 2, 4]
    for title in ("failed, %", "99 % within, ms", "out of distribution, %"):
        assert pieces(chart(page, title)) == [2, 4, 2, 2]


def test_time_in_which_nobody_looked_is_a_gap(carried: Run) -> None:
    record = carried(3)
    last = record.observations()[-1]
    record.saw(replace(last, start=last.end + 600, end=last.end + 660))
    record.saw(replace(last, start=last.end + 660, end=last.end + 720))
    assert pieces(chart(timeline_page(record), "failed, %")) == [2, 2, 2, 2]


def test_a_rollout_that_was_not_looked_at_yet_has_a_page(record: RolloutRecord) -> None:
    text = words(timeline_page(record))
    assert "in stage staging it is checked, and answers nobody." in text
    assert "Requests it answered none" in text
    assert "What happened Nothing yet." in text
    assert text.count("Nothing is known of this.") == 9  # a sentence for each chart


def test_decisions_and_alarms_are_marked_and_lead_to_their_reasons(carried: Run, world: Watched) -> None:
    world.dark = (4,)
    page = timeline_page(carried())
    drawn = chart(page, "requests, %")
    assert {each.get("class") for each in drawn.iter("g")} == {"mark plain", "mark look", "mark good"}
    links = [each.attrib["href"].removeprefix("#") for each in drawn.iter("a")]
    assert len(links) > 4
    assert all(f'<tr id="{each}"' in page for each in links)
    assert "alarm: no change" in page
    assert "nothing is known of the new version&#39;s requests." in page


def test_an_alarm_stands_on_top_as_long_as_it_lasts(carried: Run, world: Watched) -> None:
    world.dark = (3,)
    assert 'class="notice">Alarm. In stage canary nothing is known' in timeline_page(carried(4))
    assert "Alarm. " not in timeline_page(carried(1, first=5))


def test_stages_say_what_they_ask_for_and_when_they_were(carried: Run) -> None:
    text = words(timeline_page(carried(4)))
    assert "shadow 0 % 100 % 2 min and 100 requests 13:47:40 2 min" in text
    assert "full 100 % 0 % 2 min and 100 requests - -" in text
    assert "more than 1 % of its answers take longer than 500 ms, for 5 min" in text


def test_text_from_outside_cannot_become_markup(tmp_path: Path, record: RolloutRecord, world: Watched) -> None:
    evil = "<script>alert(1)</script>"
    other = RolloutRecord.begin(tmp_path / "2", replace(record.plan, actor=evil, reason=evil))
    world.canary = {"predictions": {evil: 5.0, "cxr-normal": 995.0}}
    run(other, world, at_most=1)
    other.say(Word("pause", evil, evil))
    run(other, world, at_most=3, first=2)
    page = timeline_page(other)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 10


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).is_file():
        pytest.fail(f"{CHROMIUM} is missing: scripts/debian-packages.sh test brings it")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_it_fits_asks_for_nothing_and_nothing_is_wrong(
    browser: Browser, carried: Run, tmp_path: Path, width: int
) -> None:
    file = tmp_path / "timeline.html"
    file.write_text(timeline_page(carried()), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []
    complained: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complained.append(message.text))
    page.goto(file.as_uri())
    assert asked == [file.as_uri()]
    assert complained == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("svg a rect").first.click()
    assert page.locator(".events tr:target").is_visible()
    page.close()
