"""The compiled scoring pipeline has the shape that its docstring draws."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from secondread.config.score import ScoreConfig
from secondread.pipeline.compile import compile_pipeline

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(compile_pipeline("batch-score")))


@pytest.fixture(scope="module")
def spec(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return documents[0]


def tasks(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(spec["components"][name]["dag"]["tasks"])


def test_nothing_is_delivered_where_more_is_unreadable_than_may_be(spec: dict[str, Any]) -> None:
    first = tasks(spec, "comp-exit-handler-1")
    assert set(first) == {"score", "condition-2"}
    condition = first["condition-2"]["triggerPolicy"]["condition"]
    share, limit = condition.split(" <= ")
    assert "score-Output" in share
    assert "unreadable_at_most" in limit
    assert list(tasks(spec, "comp-condition-2")) == ["deliver"]


def test_the_limit_is_the_configurations_and_no_part_of_the_score_steps_key(spec: dict[str, Any]) -> None:
    """Or else whoever raises it would have a million images read again."""
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["unreadable_at_most"]["defaultValue"] == ScoreConfig.unreadable_at_most
    given = tasks(spec, "comp-exit-handler-1")["score"]["inputs"]["parameters"]
    assert not [name for name, entry in given.items() if "unreadable" in f"{name}{entry}"]
    assert {"source_fingerprint", "code_fingerprint", "model_digest"} <= set(given)


def test_the_images_and_where_the_readings_go_must_be_named(spec: dict[str, Any]) -> None:
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    must = {name for name, entry in parameters.items() if not entry.get("isOptional")}
    assert must == {"source", "publish_to"}


def test_the_score_steps_pod_has_the_public_keys_where_its_image_looks(
    documents: list[dict[str, Any]],
) -> None:
    pods = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert {name for name, pod in pods.items() if "configMapAsVolume" in pod} == {"exec-score"}
    (keys,) = pods["exec-score"]["configMapAsVolume"]
    assert (keys["configMapName"], keys["optional"]) == ("secondread-trusted-keys", True)
    dockerfile = (ROOT / "images" / "pipeline" / "Dockerfile").read_text()
    assert f"SECONDREAD_TRUSTED_KEYS={keys['mountPath']}\n" in dockerfile
    manual = (ROOT / "manifests" / "README.md").read_text()
    assert f"--namespace kubeflow create configmap {keys['configMapName']}" in manual
