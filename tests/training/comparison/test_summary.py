"""Means over seeds and differences to single, against scipy."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from scipy import stats

from secondread.training.comparison.page import comparison_page, with_interval
from secondread.training.comparison.picture import accuracy_against_time
from secondread.training.comparison.summary import by_strategy

ACCURACY = {"single": [0.90, 0.91, 0.89], "ddp": [0.91, 0.93, 0.89], "fsdp": [0.88, 0.92, 0.90]}


def runs(**accuracy: list[float]) -> list[dict[str, Any]]:
    cost = {"seconds": 10.0, "wall_seconds": 20.0, "peak_memory_mib": 900.0, "images_per_second": 300.0}
    cost["peak_gpu_memory_megabytes"] = 0.0
    known = {"epochs": 2, "best_epoch": 1, "run_id": ""}
    return [
        {"strategy": name, "seed": seed, "metrics": {"accuracy": value, "loss": 1 - value}, **cost, **known}
        for name, values in accuracy.items()
        for seed, value in enumerate(values)
    ]


def record(synthetic: bool = False, **accuracy: list[float]) -> dict[str, Any]:
    known = {"dataset_version": "a" * 64, "retrained_on": "", "split": "val", "level": 0.95, "synthetic": synthetic}
    recipe = {"preset": "vit-96", "batch_size": 64, "processes": 2}
    found = runs(**accuracy)
    means = by_strategy(found, list(accuracy))
    return {**known, "seeds": [0, 1, 2], "recipe": recipe, "strategies": means, "runs": found}


def test_means_and_differences_are_those_of_t_tests() -> None:
    found = by_strategy(runs(**ACCURACY), list(ACCURACY))
    for name, values in ACCURACY.items():
        expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert found[name]["accuracy"]["low"] == pytest.approx(expected.low)
        assert found[name]["accuracy"]["high"] == pytest.approx(min(1, expected.high))
    paired = stats.ttest_rel(ACCURACY["ddp"], ACCURACY["single"]).confidence_interval(0.95)
    apart = found["ddp"]["accuracy_minus_single"]
    assert (apart["low"], apart["high"]) == pytest.approx((paired.low, paired.high))
    assert found["single"]["accuracy_minus_single"] is None


def test_an_interval_does_not_say_that_a_cost_could_be_negative() -> None:
    several = runs(single=[0.9, 0.9])
    several[0]["seconds"] = 100.0
    assert by_strategy(several, ["single"])["single"]["seconds"]["low"] == 0


def test_figures_are_written_with_their_interval() -> None:
    assert with_interval({"value": 0.912, "low": 0.9, "high": 0.924}) == "0.912 (0.900 to 0.924)"
    assert with_interval({"value": 0.0123, "low": -0.01, "high": 0.03}, 1, times=100) == "1.2 (-1.0 to 3.0)"
    assert with_interval({"value": 2063.4, "low": None, "high": None}, 0) == "2,063"
    assert with_interval(None) == "-"


def test_every_run_and_every_mean_is_in_the_picture_and_higher_accuracy_is_higher_up() -> None:
    found = record(single=[0.80, 0.80, 0.80], ddp=[0.90, 0.90, 0.90])
    svg = accuracy_against_time(found["runs"], found["strategies"])
    circles = [float(part.split('cy="')[1].split('"')[0]) for part in svg.split("<circle ")[1:]]
    squares = [float(part.split('points="')[1].split(",")[1].split(" ")[0]) for part in svg.split("<polygon ")[1:]]
    assert len(circles) == len(squares) == 5  # the mean, three runs, and the legend's
    assert max(squares[:4]) < min(circles[:4])


def test_the_picture_says_which_mark_is_whose() -> None:
    found = record(single=[0.80, 0.80, 0.80], ddp=[0.90, 0.90, 0.90])
    svg = ElementTree.fromstring(accuracy_against_time(found["runs"], found["strategies"]))  # noqa: S314 - our own
    parts = list(svg)
    for name, shape in (("single", "circle"), ("ddp", "polygon")):
        place = next(index for index, part in enumerate(parts) if part.text == name)
        assert parts[place - 1].tag == shape


def test_the_page_says_when_the_images_are_generated() -> None:
    assert "SYNTHETIC IMAGES" in comparison_page(record(synthetic=True, **ACCURACY))
    assert "SYNTHETIC IMAGES" not in comparison_page(record(**ACCURACY))


def test_one_seed_has_no_interval_and_still_a_page() -> None:
    page = comparison_page(record(single=[0.9]))
    assert " to " not in page.split("<tbody>")[1].split("</tbody>")[0]


def test_strategies_that_tie_with_single_seed_by_seed_have_no_interval_of_no_width() -> None:
    found = record(single=[0.90, 0.91, 0.89], ddp=[0.90, 0.91, 0.89])
    assert with_interval(found["strategies"]["ddp"]["accuracy_minus_single"], 2, times=100) == "0.00"
    assert "unless all seeds gave the same" in comparison_page(found)
