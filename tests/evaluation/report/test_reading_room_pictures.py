"""The drawings: whole SVG, points where the figures are, and nothing that is no number."""

import re
from xml.etree import ElementTree as Tree

import numpy as np
from markupsafe import Markup

from secondread.config.evaluate import EvaluateConfig
from secondread.config.risk_dial import RiskDialConfig
from secondread.config.selective import SelectiveConfig
from secondread.evaluation.reading_room.risk_dial import Readings, RiskDial, risk_dial
from secondread.evaluation.reading_room.selective import Selective, selective
from secondread.evaluation.report.reading_room_pictures import risk_coverage_svg, risk_dial_svg

QUICK = EvaluateConfig(resamples=100)


def answered(images: int = 500, *, risk: float = 0.1, groups: object = None) -> Selective:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, images)
    labels = (rng.random(images) > confidence).astype(int)
    probabilities = np.column_stack([confidence, 1 - confidence])
    units = np.arange(images) if groups is None else np.asarray(groups)
    return selective(probabilities, labels, units, policy=SelectiveConfig(risk=risk), config=QUICK)


def dialled(patients: int = 400, **policy: object) -> RiskDial:
    rng = np.random.default_rng(1)
    sets = []
    for start in (0, patients):
        confidence = rng.uniform(0.5, 1, patients)
        wrong = rng.random(patients) > confidence
        sets.append(Readings(confidence, np.ones(patients, bool), wrong, np.arange(patients) + start, False))
    return risk_dial(*sets, policy=RiskDialConfig(**policy), config=QUICK)


def drawn(svg: Markup) -> Tree.Element:
    """The drawing as a tree, every coordinate of which is a number inside the picture."""
    tree = Tree.fromstring(svg)  # noqa: S314 - our own drawing
    _, _, width, height = map(float, tree.attrib["viewBox"].split())
    for element in tree.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.get(name, 0)) <= width
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(element.get(name, 0)) <= height
        pairs = [tuple(map(float, pair.split(","))) for pair in element.get("points", "").split()]
        assert all(0 <= x <= width and 0 <= y <= height for x, y in pairs)
    return tree


def dots(tree: Tree.Element) -> list[Tree.Element]:
    return [element for element in tree.iter() if element.get("class") == "dot"]


def test_the_chosen_point_lies_on_the_curve_at_its_coverage() -> None:
    found = answered()
    tree = drawn(risk_coverage_svg(found))
    (dot,) = dots(tree)
    assert found.abstention.coverage > 0
    (curve,) = [element for element in tree.iter() if element.get("class") == "curve c0"]
    pairs = [tuple(map(float, pair.split(","))) for pair in curve.attrib["points"].split()]
    first, last = found.curve.coverage[0], found.curve.coverage[-1]
    across = (float(dot.attrib["cx"]) - pairs[0][0]) / (pairs[-1][0] - pairs[0][0])
    assert abs(first + across * (last - first) - found.abstention.coverage) < 0.01
    nearest = min(pairs, key=lambda pair: abs(pair[0] - float(dot.attrib["cx"])))
    assert abs(nearest[1] - float(dot.attrib["cy"])) < 8  # pixels
    assert f"{found.abstention.threshold:.3f}" in dot[0].text
    assert "kept at 10.0% by answering" in tree.attrib["aria-label"]


def test_a_silent_model_has_a_curve_and_no_point() -> None:
    tree = drawn(risk_coverage_svg(answered(60, risk=0.01)))
    assert dots(tree) == []
    assert tree.attrib["aria-label"] == "Risk by coverage; no confidence is shown to keep it at 1.0%"


def test_without_an_interval_there_is_no_band() -> None:
    """Of one patient, who is read wrongly at the highest confidence; and of forty."""
    probabilities = np.column_stack([np.linspace(0.9, 0.6, 40), np.linspace(0.1, 0.4, 40)])
    labels = (np.arange(40) % 8 == 0).astype(int)
    bands = []
    for groups in (np.zeros(40), np.arange(40)):
        tree = drawn(risk_coverage_svg(selective(probabilities, labels, groups, config=QUICK)))
        bands.append(sum(element.tag == "polygon" for element in tree.iter()))
    assert bands == [0, 1]


def test_the_dial_falls_from_left_to_right_and_marks_the_chosen_position() -> None:
    dial = dialled(accepted=0.03)
    tree = drawn(risk_dial_svg(dial))
    points = dots(tree)
    assert len(points) == len(dial.settings) == 8
    xs, ys = ([float(dot.attrib[name]) for dot in points] for name in ("cx", "cy"))
    assert xs == sorted(xs)
    assert ys == sorted(ys)  # downwards on the page: less is escalated
    large = [dot for dot in points if float(dot.attrib["r"]) > 5]
    assert len(large) == 1
    assert large[0][0].text.startswith("3 % accepted: ")
    assert re.search(r"3 % wrong closures need \d+% escalated", tree.attrib["aria-label"])


def test_a_dial_of_one_position_is_a_point() -> None:
    (dot,) = dots(drawn(risk_dial_svg(dialled(accepted=0.05, shown=()))))
    assert dot[0].text.startswith("5 % accepted")
