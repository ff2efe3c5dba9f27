"""The compiled training pipeline has the shape that the design says."""

from typing import Any

import pytest
import yaml

from secondread.pipeline.compile import compile_pipeline


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return dict(next(yaml.safe_load_all(compile_pipeline("train"))))


@pytest.fixture(scope="module")
def executors(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: entry["container"] for name, entry in spec["deploymentSpec"]["executors"].items()}


def test_six_components_and_an_exit_handler(executors: dict[str, dict[str, Any]]) -> None:
    names = {name.removeprefix("exec-").rstrip("-0123456789") for name in executors}
    assert names == {"ingest", "preprocess", "train", "evaluate", "quantize", "register", "conclude"}


def tasks(spec: dict[str, Any], name: str) -> dict[str, Any]:
    component = spec["root"] if name == "root" else spec["components"][name]
    return dict(component["dag"]["tasks"])


def test_a_gate_stands_before_quantize_and_before_register(spec: dict[str, Any]) -> None:
    inside = tasks(spec, "comp-exit-handler-1")
    gate = next(task for task in inside.values() if "triggerPolicy" in task)
    assert "Output'] == true" in gate["triggerPolicy"]["condition"]
    after_val = tasks(spec, gate["componentRef"]["name"])
    assert "quantize" in after_val
    second = next(task for task in after_val.values() if "triggerPolicy" in task)
    assert list(tasks(spec, second["componentRef"]["name"])) == ["register"]


def test_registering_and_the_exit_handler_are_never_cached(spec: dict[str, Any]) -> None:
    def every(name: str) -> dict[str, Any]:
        found = {}
        for key, task in tasks(spec, name).items():
            component = task["componentRef"]["name"]
            found |= every(component) if "dag" in spec["components"][component] else {key: task}
        return found

    cached = {name: task["cachingOptions"].get("enableCache", False) for name, task in every("root").items()}
    assert sorted(name for name, on in cached.items() if not on) == ["conclude", "register"]
