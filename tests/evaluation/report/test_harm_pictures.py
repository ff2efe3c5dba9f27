"""Drawings of gaps and of what breaks a model: well-formed, complete, and without a mark where nothing is known."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from secondread.config.evaluate import EvaluateConfig
from secondread.config.robustness import RobustnessConfig
from secondread.evaluation.report.harm_pictures import forest_svg, strengths_svg
from secondread.evaluation.stress.corruptions import CORRUPTIONS
from secondread.evaluation.stress.robustness import Robustness, measure_robustness
from secondread.evaluation.subgroups.gaps import measure_subgroups
from secondread.evaluation.subgroups.results import Subgroups


@pytest.fixture(scope="module")
def gaps() -> Subgroups:
    """Women are read worse; of the sites one is tiny, and bears a name that is markup."""
    rng = np.random.default_rng(0)
    labels, sex = rng.integers(0, 2, 600), rng.choice(["F", "M"], 600).astype(object)
    right = rng.random(600) < np.where(sex == "F", 0.7, 0.95)
    site = np.where(np.arange(600) < 5, "<b>A&E</b>", "main").astype(object)
    answer = np.where(right, labels, 1 - labels)
    probabilities = np.where(answer[:, None] == np.arange(2), 0.8, 0.2)
    factors = {"sex": sex, "age_band": np.full(600, "", dtype=object), "site": site}
    config = EvaluateConfig(resamples=100)
    return measure_subgroups(probabilities, labels, np.arange(600), factors, classes=("a", "b"), config=config)


@pytest.fixture(scope="module")
def broken() -> Robustness:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 40)
    images = np.clip(90 + 60 * labels[:, None, None, None] + rng.normal(0, 5, (40, 1, 32, 32)), 0, 255).astype(np.uint8)

    def predict(batch: np.ndarray) -> np.ndarray:
        second = 1 / (1 + np.exp((120 - batch.mean(axis=(1, 2, 3))) / 8))
        return np.stack([1 - second, second], axis=1)

    config = RobustnessConfig(images_at_most=30, resamples=100)
    return measure_robustness(predict, images, labels, np.arange(40), config=config)


def marks(svg: str, tag: str, kind: str = "") -> list[ElementTree.Element]:
    return [each for each in ElementTree.fromstring(svg).iter(tag) if each.get("class", "") == kind or not kind]  # noqa: S314


def text(svg: str) -> str:
    return "|".join("".join(each.itertext()) for each in marks(svg, "text"))


def test_every_group_has_a_line_and_a_flagged_one_a_diamond(gaps: Subgroups) -> None:
    svg = forest_svg(gaps)
    assert "|sex|" in text(svg)
    assert "age band" in text(svg)
    assert "not known 600 patients" in text(svg)
    assert text(svg).count("too small to tell") == 2
    assert text(svg).count("not compared") == 1
    assert [len(marks(svg, "polygon", kind)) for kind in ("wrong", "right")] == [1, 1]  # women are worse, men better
    assert not marks(svg, "circle", "dot")


def test_the_interval_is_where_the_axis_says(gaps: Subgroups) -> None:
    svg = forest_svg(gaps)
    women = gaps.factors[0].groups[0].gap("same_mix")
    ticks = {each.text: float(each.get("x", "")) for each in marks(svg, "text", "small") if each.text}
    scale = (ticks["+40"] - ticks["0"]) / 40
    line = marks(svg, "line", "curve c1")[0]
    for end, points in (("x1", women.low), ("x2", women.high)):
        assert float(line.get(end, "")) == pytest.approx(ticks["0"] + 100 * points * scale, abs=0.02)


def test_a_name_that_is_markup_is_shown_as_it_is(gaps: Subgroups) -> None:
    assert "<b>A&E</b>" in text(forest_svg(gaps))


def test_accuracy_as_it_is_can_be_drawn_too(gaps: Subgroups) -> None:
    svg = forest_svg(gaps, figure="accuracy")
    assert len(marks(svg, "circle", "dot")) == 2  # never judged, hence never a diamond
    assert not marks(svg, "polygon")


def test_every_corruption_has_a_plot_of_six_points(broken: Robustness) -> None:
    svg = strengths_svg(broken)
    assert all(each.title in text(svg) for each in CORRUPTIONS.values())
    curves = marks(svg, "polyline", "curve c0")
    assert len(curves) == 10
    assert {len(curve.get("points", "").split()) for curve in curves} == {6}


def test_a_change_that_is_known_has_its_interval_and_another_has_none(broken: Robustness) -> None:
    known = sum(
        figures["accuracy"].low == figures["accuracy"].low
        for strengths in broken.corruptions.values()
        for figures in strengths
    )
    assert 0 < known < 50
    assert len(marks(strengths_svg(broken), "line", "span")) == known


def test_a_curve_falls_where_accuracy_falls(broken: Robustness) -> None:
    (brightness,) = (
        each for each in marks(strengths_svg(broken), "polyline") if "Brightness" in "".join(each.itertext())
    )
    heights = [float(point.split(",")[1]) for point in brightness.get("points", "").split()]
    first, last = broken.clean["accuracy"], broken.corruptions["brightness"][-1]["accuracy"].value
    assert heights[-1] - heights[0] == pytest.approx(100 * (first - last), abs=0.02)
    assert heights[-1] > heights[0]


def test_calibration_can_be_drawn_too(broken: Robustness) -> None:
    svg = strengths_svg(broken, figure="ece")
    assert "ece over the strength" in svg
    assert svg != strengths_svg(broken)
