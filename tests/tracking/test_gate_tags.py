"""What a gate said of a version, written as tags and read back."""

from __future__ import annotations

from dataclasses import fields

from secondread.config.gate import GateConfig
from secondread.config.paired import PairedConfig
from secondread.evaluation.metrics.by_name import OVERALL
from secondread.tracking.gate_tags import GateTags, gate_tags, line_tags

VERDICT = {
    "passed": False,
    "metrics": {"accuracy": {"value": 0.8711, "low": 0.8, "high": 0.9}, "ece": {"value": None, "low": None}},
    "lines": [
        {"name": "ece_below", "passed": False, "reason": "ece is not known, below 0.03 asked"},
        {"name": "accuracy_above", "passed": True, "reason": "accuracy 0.8711 is above 0.7"},
    ],
}


def test_every_line_has_a_tag_with_its_reason_beside_the_figures() -> None:
    assert gate_tags(VERDICT) == {
        "gate.passed": "false",
        "gate.accuracy": "0.871100",
        "gate.accuracy_above": "passed: accuracy 0.8711 is above 0.7",
        "gate.ece_below": "failed: ece is not known, below 0.03 asked",
    }


def test_what_was_written_is_read_back_and_lines_are_no_figures() -> None:
    found = GateTags.read({**gate_tags(VERDICT), "digest": "d" * 64})
    assert found.passed is False
    assert found.figures == {"accuracy": 0.8711}
    assert set(found.lines) == {"accuracy_above", "ece_below"}
    assert found.lines["accuracy_above"].startswith("passed: ")


def test_versions_of_before_and_those_without_a_gate_are_read_too() -> None:
    assert GateTags.read({"gate.passed": "true", "gate.ece": "0.030000"}) == GateTags(True, {"ece": 0.03}, {})
    assert GateTags.read({"digest": "d" * 64}) == GateTags()


def test_no_condition_has_the_name_of_a_figure() -> None:
    asked = {field.name for policy in (GateConfig, PairedConfig) for field in fields(policy)}
    assert not asked & {*OVERALL, "passed"}


def test_lines_alone_make_no_verdict() -> None:
    tags = line_tags([{"name": "accuracy_margin_points", "passed": True, "reason": "accuracy differs by +0.10 points"}])
    assert tags == {"gate.accuracy_margin_points": "passed: accuracy differs by +0.10 points"}
