"""The plot of time against accuracy."""

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from secondread.config.quantize import QuantizeConfig
from secondread.data.pixels.preprocess import Preprocessing
from secondread.export.quantization.choice import Candidate, Choice
from secondread.export.quantization.comparison import Choices, QuantizeResult
from secondread.export.quantization.latency import Latency
from secondread.export.quantization.page import pareto, pareto_svg, render_quantization
from secondread.export.quantization.parity import Parity
from secondread.machine import Machine
from secondread.model.folder import ModelConfigFile, ModelFolder, Thresholds
from secondread.taxonomy import ClassInfo, Taxonomy

CONFIG = QuantizeConfig(batch_sizes=(1,))


def candidate(name: str, accuracy: float, p99: float) -> Candidate:
    return Candidate(name, accuracy, 0.05, 1_000_000, {1: Latency((p99,) * 9)}, Parity(1, 0, 0, 0), 0.0)


TABLE = (
    candidate("fp32", 0.900, 10.0),
    candidate("fused", 0.900, 8.0),
    candidate("dynamic", 0.890, 9.0),
    candidate("static <1>", 0.898, 4.0),
)


@pytest.fixture
def result() -> QuantizeResult:
    classes = tuple(ClassInfo(name=name, modality="cxr", title=name) for name in ("one", "two"))
    config = ModelConfigFile(
        name="tiny",
        architecture={},
        taxonomy=Taxonomy(classes=classes),
        preprocessing=Preprocessing(size=32),
        temperature=1.0,
        thresholds=Thresholds(0.5, 1.0),
        dataset_version="0" * 64,
        graph="fp32.onnx",
        synthetic=False,
        library_version="0",
    )
    choices = Choices(Choice("static <1>", "It is <fast>."), Choice("fp32", "No GPU."))
    machine = Machine("Grain Hill 9000", (), 2)
    return QuantizeResult(ModelFolder(Path("model"), config), choices, TABLE, 50, 20, machine, notes=("A & B.",))


def drawn(result: QuantizeResult, config: QuantizeConfig) -> ElementTree.Element:
    return ElementTree.fromstring(pareto_svg(result, config))  # noqa: S314, our own


def test_the_front_holds_what_no_other_graph_beats_in_both() -> None:
    assert [item.name for item in pareto(TABLE, 1)] == ["static <1>", "fused"]


def test_every_graph_has_its_dot_further_left_the_faster_and_lower_the_more_it_loses(result: QuantizeResult) -> None:
    svg = drawn(result, CONFIG)
    dots = {dot[0].text.partition(":")[0]: dot for dot in svg.iter("circle") if dot.get("class") == "dot"}
    assert set(dots) == {item.name for item in TABLE}
    x = {name: float(dot.get("cx")) for name, dot in dots.items()}
    y = {name: float(dot.get("cy")) for name, dot in dots.items()}
    assert x["static <1>"] < x["fused"] < x["dynamic"] < x["fp32"]
    assert y["fp32"] == y["fused"] < y["static <1>"] < y["dynamic"]
    limit = next(float(line.get("y1")) for line in svg.iter("line") if line.get("class") == "chance")
    assert y["static <1>"] < limit < y["dynamic"]  # 0.5 points
    left, right, bottom = 0, float(svg.get("viewBox").split()[2]), float(svg.get("viewBox").split()[3])
    assert all(left < value < right for value in x.values())
    assert all(0 < value < bottom for value in y.values())


def test_the_chosen_one_is_ringed_and_names_do_not_lie_on_each_other(result: QuantizeResult) -> None:
    svg = drawn(result, CONFIG)
    rings = [ring for ring in svg.iter("circle") if ring.get("class") == "curve c1"]
    assert len(rings) == 1
    assert "chosen: static <1>" in svg.get("aria-label")
    names = {item.name for item in TABLE}
    heights = sorted(float(text.get("y")) for text in svg.iter("text") if text.text in names)
    assert len(heights) == len(TABLE)
    assert min(high - low for low, high in pairwise(heights)) >= 14


def test_all_alike_can_be_drawn(result: QuantizeResult) -> None:
    same = QuantizeResult(result.model, result.choices, (TABLE[0], TABLE[3]), 50, 20, result.machine)
    exact = QuantizeConfig(batch_sizes=(1,), accuracy_points=0)
    assert len([dot for dot in drawn(same, exact).iter("circle") if dot.get("class") == "dot"]) == 2


def test_what_is_put_into_the_page_cannot_become_markup(result: QuantizeResult) -> None:
    page = render_quantization(result, CONFIG)
    assert "static &lt;1&gt;" in page
    assert "It is &lt;fast&gt;." in page
    assert "A &amp; B." in page
    assert not re.search(r"<(1|fast)>", page)
    assert "loses 1.00 points of accuracy" in page
