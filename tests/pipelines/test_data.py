"""The compiled data pipeline has the shape that its docstring draws."""

from typing import Any

import pytest
import yaml

from secondread.pipeline.compile import compile_pipeline


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return dict(next(yaml.safe_load_all(compile_pipeline("data"))))


def test_the_steps_follow_each_other(spec: dict[str, Any]) -> None:
    tasks = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert set(tasks) == {"ingest", "preprocess", "audit", "condition-2"}
    assert tasks["preprocess"]["dependentTasks"] == ["ingest"]
    assert set(tasks["audit"]["dependentTasks"]) == {"ingest", "preprocess"}
    assert set(tasks["condition-2"]["dependentTasks"]) == {"audit", "preprocess"}


def test_nothing_is_published_unless_the_audit_said_yes(spec: dict[str, Any]) -> None:
    gate = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]["condition-2"]
    assert "audit-Output'] == true" in gate["triggerPolicy"]["condition"]
    assert list(spec["components"]["comp-condition-2"]["dag"]["tasks"]) == ["publish"]


def test_the_parent_takes_part_in_the_caches_key_by_its_content(spec: dict[str, Any]) -> None:
    inputs = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]["preprocess"]["inputs"]["parameters"]
    assert {"parent", "parent_version", "settings"} <= set(inputs)
