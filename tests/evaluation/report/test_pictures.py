"""The report's pictures: what stands where, told by the numbers in the SVG."""

import re
from itertools import pairwise

import numpy as np
import pytest

from secondread.evaluation.metrics.calibration import reliability
from secondread.evaluation.metrics.curves import pr_by_class, roc_by_class
from secondread.evaluation.report import pictures


def test_names_cannot_break_out_of_the_page() -> None:
    name = '<script>alert("x")</script>'
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(2), 20), rng.integers(0, 2, 20)
    for drawing in (
        pictures.confusion_svg([[1, 2], [3, 4]], [name, "b"]),
        pictures.roc_svg(dict(zip([name, "b"], roc_by_class(probabilities, labels), strict=True))),
        pictures.pr_svg(dict(zip([name, "b"], pr_by_class(probabilities, labels), strict=True))),
    ):
        assert "<script" not in drawing
        assert "&lt;script" in drawing


def test_a_reliability_point_stands_at_its_confidence_and_the_share_that_is_right() -> None:
    first = np.repeat([0.6, 0.9], 10)
    labels = np.array([0] * 6 + [1] * 4 + [0] * 5 + [1] * 5)
    bins = reliability(np.stack([first, 1 - first], axis=1), labels, bins=2)
    before = reliability(np.stack([first, 1 - first], axis=1), np.zeros(20, int), bins=2)
    drawing = pictures.reliability_svg(bins, before)
    assert "after: confidence 0.90, right 0.50, 10 images" in drawing
    assert "before: confidence 0.90, right 1.00, 10 images" in drawing
    points = re.findall(r'<circle class="after" cx="([\d.]+)" cy="([\d.]+)"', drawing)
    (x1, y1), (x2, y2) = ((float(x), float(y)) for x, y in points)
    assert (x2 - x1) / (y2 - y1) == pytest.approx(0.3 / 0.1, abs=0.01)  # less often right: further down


def test_what_chance_may_do_is_drawn_where_the_confidence_is() -> None:
    bins = reliability(
        np.tile([[0.8, 0.2]], (10, 1)), np.zeros(10, int), bins=1, likely=(np.array([-0.2]), np.array([0.1]))
    )
    drawing = pictures.reliability_svg(bins)
    (x,) = re.findall(r'<line class="likely" x1="([\d.]+)"', drawing)
    (low, high), (dot_x, dot_y) = (
        re.findall(r'class="likely".*?y1="([\d.]+)" y2="([\d.]+)"', drawing)[0],
        re.findall(r'<circle class="after" cx="([\d.]+)" cy="([\d.]+)"', drawing)[0],
    )
    assert x == dot_x
    assert float(dot_y) < float(high) < float(low)  # all right: above what chance would do


def test_a_precision_recall_curve_is_drawn_in_steps() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    curve = pr_by_class(probabilities, np.array([0, 1, 0, 1]))[0]
    (points,) = re.findall(r'points="([^"]+)"', pictures.pr_svg({"a": curve}))
    pairs = [tuple(map(float, pair.split(","))) for pair in points.split()]
    assert all(one[0] == other[0] or one[1] == other[1] for one, other in pairwise(pairs))
    assert pairs[0][1] == pairs[1][1] == min(y for _, y in pairs)  # begins at a precision of 1
