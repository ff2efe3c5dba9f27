"""The dashboard as people see it: the real command, the real pages, in Debian's chromium."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from secondread.config.audit import AuditConfig
from secondread.data.audit.audit import audit
from secondread.data.audit.report import write_audit
from secondread.data.audit.subject import open_subject
from secondread.data.manifest import MANIFEST_FILE, SPLITS, read_manifest
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
from secondread.data.versions.diff import diff_versions

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 60_000  # of a page on a busy machine; it is not waited for unless it is needed


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).is_file():
        pytest.fail(f"{CHROMIUM} is missing: scripts/debian-packages.sh test brings it")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def asked() -> list[str]:
    """Addresses that the pages asked for."""
    return []


@pytest.fixture
def page(browser: Browser, asked: list[str]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    opened = context.new_page()
    opened.on("request", lambda request: asked.append(request.url))
    yield opened
    context.close()


@pytest.fixture(scope="module")
def served(
    shelf_root: Path, large_root: Path, tmp_path_factory: pytest.TempPathFactory, dashboard
) -> Iterator[tuple[str, Path]]:
    """Address of a dashboard, and its folder: two versions, of which the first was audited, a large and two damaged."""
    root = tmp_path_factory.mktemp("served") / "versions"
    shutil.copytree(shelf_root, root)
    (root / "seeds").symlink_to(large_root / "seeds")
    for name, damaged in (("spoilt", MANIFEST_FILE), ("unreadable", DATASET_FILE)):
        shutil.copytree(shelf_root / "first", root / name)
        (root / name / damaged).write_bytes(b"no such thing")
    config, subject = AuditConfig(resamples=100), open_subject(root / "first")
    write_audit(audit(subject, config), subject, root / "first-audit", config, inputs=[])
    with dashboard(root) as running:
        yield running.url, root


def table(page: Page, heading: str) -> dict[str, dict[str, str]]:
    """The first table whose first column has this heading: rows by name, cells by column."""
    found = page.get_by_test_id("stTable").filter(has_text=re.compile(f"^{heading}")).first
    expect(found).to_be_visible()
    head, *rows = [row.locator("th,td").all_inner_texts() for row in found.locator("tr").all()]
    return {row[0].strip(): dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def choose(page: Page, label: str, start: str) -> None:
    page.get_by_role("combobox", name=re.compile(label)).click()
    page.get_by_role("option", name=re.compile(f"^{start}")).click()


def no_error(page: Page) -> None:
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    assert page.get_by_test_id("stException").count() == 0
    text = page.inner_text("body")
    assert "Traceback" not in text
    assert "has encountered an error" not in text


def nothing_overflows(page: Page) -> None:
    """No part of the page is wider than the page."""
    wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0


def check_counts(page: Page, manifest: Path) -> None:
    rows = read_manifest(manifest)
    expect(page.get_by_test_id("stMetricValue").first).to_have_text(f"{len(rows):,}")
    splits = [split for split in SPLITS if (rows["split"] == split).any()]
    sums = [*((rows["split"] == split).sum() for split in splits), len(rows), rows["group_id"].nunique()]
    last = page.get_by_test_id("stTable").first.locator("tr").last.locator("th,td")
    expect(last).to_have_text(["all", *(f"{number:,}" for number in sums)])
    shown = table(page, "class")
    for label in [*rows["label"].unique(), "all"]:
        of_class = rows if label == "all" else rows[rows["label"] == label]
        for split, number in of_class["split"].value_counts().items():
            assert shown[label][str(split)] == f"{number:,}"
        assert shown[label]["all"] == f"{len(of_class):,}"
        assert shown[label]["groups"] == f"{of_class['group_id'].nunique():,}"


def test_the_counts_are_those_of_the_manifest_for_each_version_that_is_chosen(
    served: tuple[str, Path], page: Page, asked: list[str]
) -> None:
    url, root = served
    page.goto(url)
    check_counts(page, root / "first" / MANIFEST_FILE)
    choose(page, "Dataset version", "retrain")
    check_counts(page, root / "retrain" / MANIFEST_FILE)
    expect(page.get_by_test_id("stVegaLiteChart")).to_be_visible()
    no_error(page)
    nothing_overflows(page)
    rows = read_manifest(root / "retrain" / MANIFEST_FILE)
    page.get_by_role("radio", name="Sex").click()
    assert table(page, "sex")["F"]["all"] == f"{(rows['sex'] == 'F').sum()}"
    assert {address.split("/")[2] for address in asked} == {url.split("/")[2]}, "it speaks to nobody else"


def test_samples_are_shown_and_others_can_be_drawn(served: tuple[str, Path], page: Page) -> None:
    url, _ = served
    page.goto(f"{url}/samples")
    pictures = page.get_by_test_id("stImage").locator("img")
    expect(pictures).to_have_count(3 * 6)
    expect(page.get_by_text("Lung opacity (cxr-opacity)")).to_be_visible()
    before = [picture.get_attribute("src") for picture in pictures.all()]
    assert page.evaluate("() => [...document.querySelectorAll('img')].every(image => image.naturalWidth === 32)")
    page.get_by_role("button", name="Draw others").click()
    expect(pictures.first).not_to_have_attribute("src", str(before[0]))
    choose(page, "Split", "test")
    expect(page.get_by_text(re.compile("^test · "))).to_have_count(18)
    no_error(page)


def test_what_is_missing_is_shown_by_class(served: tuple[str, Path], page: Page) -> None:
    url, _ = served
    page.goto(f"{url}/missing")
    shown = table(page, "class")
    assert shown["cxr-normal"]["patient"] == "0%"
    assert shown["all"]["published split"] == "100%"
    no_error(page)


def test_the_audit_is_shown_or_run(served: tuple[str, Path], page: Page) -> None:
    url, _ = served
    page.goto(f"{url}/audit")
    expect(page.get_by_text("Leaks, repeats and contradictions")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart")).to_be_visible()
    expect(page.get_by_role("button", name="Whole report with pictures")).to_be_visible()
    choose(page, "Dataset version", "retrain")
    page.get_by_role("button", name="Run the audit").click()
    expect(page.get_by_text("Leaks, repeats and contradictions")).to_be_visible()
    no_error(page)


def test_drift_is_that_of_the_two_versions(served: tuple[str, Path], page: Page) -> None:
    url, root = served
    page.goto(f"{url}/drift")
    choose(page, "Dataset version", "retrain")
    expect(page.get_by_text("The later version grew from the earlier one.")).to_be_visible()
    document = diff_versions(*(DatasetVersion.open(root / name) for name in ("first", "retrain"))).to_dict()
    shown = table(page, "change")
    assert shown["moved to another split"]["images"] == f"{document['moved']['images']}"
    assert shown["unchanged"]["images"] == f"{document['unchanged']}"
    expect(page.get_by_text(re.compile("^much the same Class"))).to_be_visible()
    expect(page.get_by_text(re.compile("Mean brightness.*: .*PSI"))).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart")).to_be_visible()
    no_error(page)


def test_on_a_telephone_no_page_is_too_wide_and_none_shows_an_id(served: tuple[str, Path], page: Page) -> None:
    url, root = served
    rows = read_manifest(root / "first" / MANIFEST_FILE)
    ids = {one for name in ("patient_id", "study_id", "group_id") for one in rows[name] if one}
    page.set_viewport_size({"width": 420, "height": 900})
    for name in ("", "samples", "missing", "audit", "drift"):
        page.goto(f"{url}/{name}")
        expect(page.get_by_text("Generated images")).to_be_visible()
        no_error(page)
        nothing_overflows(page)
        text = page.content()
        assert not [one for one in ids if one in text]


def test_a_damaged_version_is_explained_and_the_others_are_shown(served: tuple[str, Path], page: Page) -> None:
    url, root = served
    page.goto(url)
    expect(page.get_by_test_id("stAlert")).to_contain_text("dataset.json is damaged")
    choose(page, "Dataset version", "spoilt")
    alert = page.get_by_test_id("stAlert").last
    expect(alert).to_contain_text("manifest.parquet is damaged")
    expect(alert).to_contain_text("Run preprocess again.")
    assert page.get_by_test_id("stTable").count() == 0
    choose(page, "Dataset version", "retrain")
    check_counts(page, root / "retrain" / MANIFEST_FILE)
    no_error(page)


def test_a_hundred_thousand_images_have_their_numbers_and_pictures(served: tuple[str, Path], page: Page) -> None:
    url, root = served
    page.goto(url)
    choose(page, "Dataset version", "seeds")
    expect(page.get_by_test_id("stMetricValue").first).to_have_text("125,100")
    check_counts(page, root / "seeds" / MANIFEST_FILE)
    page.get_by_role("link", name="Samples").click()
    expect(page.get_by_test_id("stImage").locator("img")).to_have_count(9 * 6)
    no_error(page)
