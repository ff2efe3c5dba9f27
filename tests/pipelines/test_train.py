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


def test_seven_components_and_an_exit_handler_and_those_that_deploy(executors: dict[str, dict[str, Any]]) -> None:
    names = {name.removeprefix("exec-").rstrip("-0123456789") for name in executors}
    deploying = {"verify", "begin-rollout", "rollout-stage", "promote", "end-rollout"}
    assert names == {
        "ingest",
        "preprocess",
        "train",
        "evaluate",
        "quantize",
        "refuse",
        "register",
        "conclude",
        *deploying,
    }


def tasks(spec: dict[str, Any], name: str) -> dict[str, Any]:
    component = spec["root"] if name == "root" else spec["components"][name]
    return dict(component["dag"]["tasks"])


def gate_of(inside: dict[str, Any], answer: str) -> dict[str, Any]:
    """What is behind a gate that answers so."""
    gates = [task for task in inside.values() if "triggerPolicy" in task]
    (gate,) = (gate for gate in gates if f"Output'] == {answer}" in gate["triggerPolicy"]["condition"])
    return dict(gate)


def test_a_gate_stands_before_quantize_and_before_register(spec: dict[str, Any]) -> None:
    inside = tasks(spec, "comp-exit-handler-1")
    gate = gate_of(inside, "true")
    after_val = tasks(spec, gate["componentRef"]["name"])
    assert "quantize" in after_val
    after_test = tasks(spec, gate_of(after_val, "true")["componentRef"]["name"])
    assert {name for name, task in after_test.items() if "triggerPolicy" not in task} == {"register"}


def test_a_refusal_of_either_gate_goes_to_the_registry(spec: dict[str, Any]) -> None:
    inside, judged = tasks(spec, "comp-exit-handler-1"), []
    for _ in range(2):
        (refuse,) = tasks(spec, gate_of(inside, "false")["componentRef"]["name"]).values()
        assert not refuse["cachingOptions"].get("enableCache", False)
        judged.append(refuse["inputs"]["artifacts"]["model"]["componentInputArtifact"])
        inside = tasks(spec, gate_of(inside, "true")["componentRef"]["name"])
    assert judged == ["pipelinechannel--train-model", "pipelinechannel--quantize-quantized"]


@pytest.mark.parametrize("name", ["train", "retrain"])
def test_what_it_trains_on_is_said_when_it_runs(name: str) -> None:
    """One YAML for nodes with and without accelerators: the driver leaves them out where their type is empty."""
    spec, platform = yaml.safe_load_all(compile_pipeline(name))
    accelerator = spec["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]["accelerator"]
    assert accelerator == {
        "resourceType": "{{$.inputs.parameters['pipelinechannel--accelerator_type']}}",
        "resourceCount": "{{$.inputs.parameters['pipelinechannel--devices']}}",
    }
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    # of a number the driver takes the text, which is empty, and asks for no accelerator
    assert (parameters["devices"]["parameterType"], parameters["devices"]["defaultValue"]) == ("STRING", "1")
    assert (parameters["accelerator_type"]["defaultValue"], parameters["node_selector"]["defaultValue"]) == ("", {})

    pod = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    assert pod["emptyDirMounts"] == [
        {"volumeName": "shared-memory", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "2Gi"}  # noqa: S108
    ]
    selector = pod["nodeSelector"]["nodeSelectorJson"]["componentInputParameter"]
    around = spec["components"]["comp-exit-handler-1"]
    assert selector in around["inputDefinitions"]["parameters"]
    given = around["dag"]["tasks"]["train"]["inputs"]["parameters"]
    assert {"pipelinechannel--accelerator_type", "pipelinechannel--devices"} <= set(given)


def test_no_input_of_the_train_step_is_one_that_kfp_fills_itself(spec: dict[str, Any]) -> None:
    """KFP writes a placeholder into inputs of these names, over what a pipeline gives."""
    taken = {"accelerator_type", "accelerator_count", "cpu_limit", "memory_limit"}
    assert not taken & set(spec["components"]["comp-train"]["inputDefinitions"]["parameters"])
