"""What the audit says of headers that contradict a set, and of text in pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.stats import binomtest

from secondread.config.audit import AuditConfig
from secondread.config.ingest import IngestConfig
from secondread.data.audit.audit import audit
from secondread.data.audit.finding import Finding
from secondread.data.audit.findings import find_all
from secondread.data.audit.report import render
from secondread.data.audit.subject import open_subject
from secondread.data.ingest import ingest

WITH_TEXT = {"cxr-covid": 8, "cxr-normal": 1}  # of ten each


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("films")
    rng, font = np.random.default_rng(0), ImageFont.load_default(16)
    for label, count in WITH_TEXT.items():
        (root / label).mkdir()
        for number in range(10):
            grain = rng.normal(0, 1, (9, 9)).cumsum(0).cumsum(1)
            scaled = 20 + 120 * (grain - grain.min()) / np.ptp(grain)
            film = Image.fromarray(scaled.astype(np.uint8)).resize((256, 256), Image.Resampling.BICUBIC)
            if number < count:
                ImageDraw.Draw(film).text((20, 8), "PORTABLE AP", fill=255, font=font)
            film.save(root / label / f"{number}.png")
    out = tmp_path_factory.mktemp("out") / "ingested"
    ingest(IngestConfig(source=str(root)), out)
    return out


def named(findings: list[Finding], name: str) -> Finding:
    return next(item for item in findings if item.name == name)


def test_the_share_of_films_with_text_by_class_with_its_interval(ingested: Path) -> None:
    found = named(find_all(open_subject(ingested)), "burnt_in_text")
    assert (found.severity, found.count) == ("worth a look", 9)
    for label, count in WITH_TEXT.items():
        interval = binomtest(count, 10).proportion_ci(method="wilson")
        stated = f"{label} {count / 10:.1%} ({interval.low:.1%} to {interval.high:.1%}; {count} of 10)"
        assert stated in found.sentence


def test_films_with_text_are_shown(ingested: Path) -> None:
    subject = open_subject(ingested)
    config = AuditConfig(min_groups_per_class=5)
    result = audit(subject, config)
    found = named(result.findings, "burnt_in_text")
    texts = subject.rows["burnt_in_text"].tolist()
    assert len(found.shown) == 8
    assert all(texts[position] == "seen" for position in found.shown)
    assert render(result, subject, config).count("data:image/png") >= 8
    assert "shown" not in str(result.to_dict()["findings"])


def test_that_text_tells_the_class_is_a_shortcut(ingested: Path) -> None:
    result = audit(open_subject(ingested), AuditConfig(min_groups_per_class=5))
    shortcut = next(item for item in result.shortcuts if item.name == "burnt_in_text")
    assert shortcut.value == pytest.approx(0.85)  # the mean of 8 and 9 of ten
    assert shortcut.by_class["cxr-covid"] == "seen 80%, none 20%"


def test_without_text_and_without_headers_nothing_is_found(films: Callable[..., Path], tmp_path: Path) -> None:
    ingest(IngestConfig(source=str(films(normal=3, covid=3))), tmp_path / "out")
    findings = find_all(open_subject(tmp_path / "out"))
    assert named(findings, "burnt_in_text").severity == "none"
    assert "too small" in named(findings, "burnt_in_text").sentence
    assert "no header contradicts the set" in named(findings, "contradicting_headers").sentence


def test_films_of_another_body_part_are_counted(
    dicom: Callable[..., bytes], tmp_path: Path, films: Callable[..., Path]
) -> None:
    (tmp_path / "in" / "cxr-normal").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, part in enumerate(["CHEST", "CHEST", "HAND", "", "FOOT"]):
        pixels = rng.integers(0, 4096, (40, 40), dtype=np.uint16)
        (tmp_path / "in" / "cxr-normal" / f"{number}.dcm").write_bytes(
            dicom(pixels, Modality="DX", BodyPartExamined=part, BurnedInAnnotation="YES" if number == 1 else "NO")
        )
    result = ingest(IngestConfig(source=str(tmp_path / "in")), tmp_path / "out")
    assert (sum(result.kept.values()), sum(result.rejected.values())) == (3, 2)
    subject = open_subject(tmp_path / "out")
    found = named(find_all(subject), "contradicting_headers")
    assert (found.severity, found.count) == ("worth a look", 2)
    assert subject.rows["body_part"].tolist() == ["CHEST", "CHEST", ""]
    assert sorted(subject.rows["burnt_in_text"]) == ["", "", "stated"]
    reasons = subject.rejected.set_index("name")["reason"]
    assert "its header says DX HAND, the set is of cxr" in reasons["cxr-normal/2.dcm"]
