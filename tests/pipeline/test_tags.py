"""What a training run is made of, as MLflow is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import secondread
from secondread.config.environment import Environment
from secondread.pipeline import tags
from secondread.pipeline.tags import comparison_tags, run_tags, verdict_tags

VERSION = SimpleNamespace(content_hash="d" * 64, synthetic=True)


def test_a_run_names_data_revision_and_pipeline_run() -> None:
    environment = Environment.read({"SECONDREAD_REVISION": "4cc7934", "SECONDREAD_PIPELINE_RUN": "run-7"})
    expected = {"dataset_version": "d" * 64, "synthetic": "true", "git_revision": "4cc7934", "pipeline_run": "run-7"}
    assert run_tags(VERSION, environment) == expected


def test_outside_a_checkout_the_librarys_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site-packages" / "secondread" / "__init__.py"
    monkeypatch.setattr(secondread, "__file__", str(installed))
    found = run_tags(VERSION, Environment.read({}))
    assert found["git_revision"] == f"secondread {secondread.__version__}"
    assert "pipeline_run" not in found
    assert tags.git_revision(Environment.read({})) == ""


def test_a_model_that_passed_has_every_line_of_its_gate_and_where_its_card_is() -> None:
    lines = [{"name": "accuracy_above", "passed": True, "reason": "accuracy 0.8700 is above 0.7"}]
    figures = {"accuracy": {"value": 0.87, "low": 0.8, "high": 0.9}}
    verdict = {"passed": True, "reasons": ["accuracy 0.8700 is above 0.7"], "lines": lines, "metrics": figures}
    found = verdict_tags(verdict, card="runs:/abc/MODEL_CARD.md")
    assert found["gate.accuracy"] == "0.870000"
    assert found["gate.accuracy_above"] == "passed: accuracy 0.8700 is above 0.7"
    assert found["gate.passed"] == "true"
    assert found["model_card"] == "runs:/abc/MODEL_CARD.md"
    assert "model_card" not in verdict_tags(verdict)


def test_a_model_that_was_compared_has_the_lines_of_the_comparison_too() -> None:
    line = {"name": "accuracy_margin_points", "passed": True, "reason": "accuracy differs by +0.10 points"}
    compared = {
        "differences": {"accuracy": {"value": 0.001}},
        "mcnemar": {"p_value": 0.5},
        "champion": {"version": 3},
        "reasons": [line["reason"]],
        "lines": [line],
    }
    found = comparison_tags(compared)
    assert found["gate.accuracy_margin_points"] == "passed: accuracy differs by +0.10 points"
    assert found["compared.accuracy_points"] == "0.1000"
