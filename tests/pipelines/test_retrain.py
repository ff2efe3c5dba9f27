"""The compiled retraining pipeline has the shape that its docstring draws."""

from typing import Any

import pytest
import yaml

from secondread.pipeline.compile import compile_pipeline
from secondread_pipelines.pods import TRUSTED_KEYS_MAP, TRUSTED_KEYS_PATH


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(compile_pipeline("retrain")))


@pytest.fixture(scope="module")
def spec(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return documents[0]


def tasks(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(spec["components"][name]["dag"]["tasks"])


def gate_of(inside: dict[str, Any], answer: str) -> dict[str, Any]:
    """What is behind a gate that answers so."""
    gates = [task for task in inside.values() if "triggerPolicy" in task]
    (gate,) = (gate for gate in gates if f"Output'] == {answer}" in gate["triggerPolicy"]["condition"])
    return dict(gate)


def test_the_steps_follow_each_other(spec: dict[str, Any]) -> None:
    first = tasks(spec, "comp-exit-handler-1")
    assert {"fetch", "champion", "train", "evaluate"} <= set(first)
    assert first["champion"]["dependentTasks"] == ["fetch"]
    assert set(first["train"]["dependentTasks"]) == {"fetch", "champion"}
    given = first["train"]["inputs"]["artifacts"]
    assert given["start"]["taskOutputArtifact"] == {"outputArtifactKey": "model", "producerTask": "champion"}


def test_the_champion_steps_pod_has_the_public_keys_and_the_store(documents: list[dict[str, Any]]) -> None:
    pod = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-champion"]
    (keys,) = pod["configMapAsVolume"]
    assert (keys["configMapName"], keys["mountPath"]) == (TRUSTED_KEYS_MAP, TRUSTED_KEYS_PATH)
    assert "secondread-store" in {secret["secretName"] for secret in pod["secretAsEnv"]}


def test_three_gates_stand_before_the_registry(spec: dict[str, Any]) -> None:
    inside, steps = tasks(spec, "comp-exit-handler-1"), []
    for producer in ("evaluate", "evaluate-2", "compare"):
        assert set(tasks(spec, gate_of(inside, "false")["componentRef"]["name"])) <= {"refuse", "refuse-2", "refuse-3"}
        gate = gate_of(inside, "true")
        assert f"{producer}-Output'] == true" in gate["triggerPolicy"]["condition"]
        inside = tasks(spec, gate["componentRef"]["name"])
        steps.append({name for name in inside if not name.startswith("condition")})
    assert steps == [{"quantize", "evaluate-2"}, {"compare"}, {"register"}]
    assert "comparison" in inside["register"]["inputs"]["artifacts"]


def test_versions_and_champion_take_part_in_the_caches_key_by_their_content(spec: dict[str, Any]) -> None:
    first = tasks(spec, "comp-exit-handler-1")
    assert {"content_hash", "parent_version", "code_fingerprint"} <= set(first["fetch"]["inputs"]["parameters"])
    assert "digest" in first["champion"]["inputs"]["parameters"]


def test_the_versions_and_where_the_model_goes_must_be_named(spec: dict[str, Any]) -> None:
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert {name for name, entry in parameters.items() if not entry.get("isOptional")} == {
        "dataset",
        "parent",
        "model_root",
    }
