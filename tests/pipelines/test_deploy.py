"""The compiled deployment pipeline has the shape that its docstring draws, alone and at the end of training."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from secondread.pipeline.compile import compile_pipeline
from secondread.rollout.record.phases import Phase

ROOT = Path(__file__).resolve().parents[2]
IN_ORDER = [phase for phase in Phase if phase is not Phase.WHOLE]


@pytest.fixture(scope="module", params=["deploy", "train"])
def documents(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(compile_pipeline(request.param)))


@pytest.fixture(scope="module")
def spec(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return documents[0]


@pytest.fixture(scope="module")
def pods(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return dict(documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"])


def tasks(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(spec["components"][name]["dag"]["tasks"])


@pytest.fixture(scope="module")
def around(spec: dict[str, Any]) -> dict[str, Any]:
    """The tasks beside which the exit handler stands."""
    dags = [spec["root"]["dag"], *(entry["dag"] for entry in spec["components"].values() if "dag" in entry)]
    (found,) = [dag["tasks"] for dag in dags if "end-rollout" in dag["tasks"]]
    return dict(found)


@pytest.fixture(scope="module")
def inside(spec: dict[str, Any], around: dict[str, Any]) -> dict[str, Any]:
    (body,) = around["end-rollout"]["dependentTasks"]
    return tasks(spec, around[body]["componentRef"]["name"])


def stage_of(task: dict[str, Any]) -> str:
    return str(task["inputs"]["parameters"]["stage"]["runtimeValue"]["constant"])


def test_the_exit_handler_rolls_back_whatever_happened(around: dict[str, Any]) -> None:
    handler = around["end-rollout"]
    assert handler["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert {"status", "name", "control", "pipeline_run"} == set(handler["inputs"]["parameters"])


def test_the_run_knows_its_rollout_by_its_own_id(around: dict[str, Any], inside: dict[str, Any]) -> None:
    given = [each["inputs"]["parameters"]["pipeline_run"] for each in (around["end-rollout"], inside["begin-rollout"])]
    assert given[0] == given[1] == {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}}


def test_what_was_verified_is_begun_and_carried_on_beside_the_steps_that_show_it(inside: dict[str, Any]) -> None:
    assert inside["begin-rollout"]["dependentTasks"] == ["verify"]
    stages = {stage_of(task): task for name, task in inside.items() if name.startswith("rollout-stage")}
    assert set(stages) == {Phase.WHOLE, Phase.DEPLOY}
    assert all(task["dependentTasks"] == ["begin-rollout"] for task in stages.values())
    waits_for_whole = [name for name, task in inside.items() if stages_name(inside) in task.get("dependentTasks", [])]
    assert not waits_for_whole, "or else nothing would be shown before the rollout has ended"


def stages_name(inside: dict[str, Any]) -> str:
    (name,) = [
        name for name, task in inside.items() if name.startswith("rollout-stage") and stage_of(task) == Phase.WHOLE
    ]
    return name


def test_each_stage_stands_behind_the_gate_of_the_one_before(spec: dict[str, Any], inside: dict[str, Any]) -> None:
    found, here = [], inside
    while True:
        stages = {
            name: stage_of(task)
            for name, task in here.items()
            if name.startswith("rollout-stage") and stage_of(task) != Phase.WHOLE
        }
        if not stages:
            break
        ((name, stage),) = stages.items()
        found.append(stage)
        (gate,) = [task for task in here.values() if "triggerPolicy" in task]
        assert gate["triggerPolicy"]["condition"].endswith(f"{name}-Output'] == true")
        here = tasks(spec, gate["componentRef"]["name"])
    assert found == IN_ORDER
    assert list(here) == ["promote"]


def test_a_graph_shows_the_stages_by_their_names(spec: dict[str, Any], inside: dict[str, Any]) -> None:
    shown = [task for entry in spec["components"].values() for task in entry.get("dag", {}).get("tasks", {}).values()]
    staged = [task for task in shown if task["componentRef"]["name"].startswith("comp-rollout-stage")]
    assert {task["taskInfo"]["name"] for task in staged} == set(Phase)
    assert all(task["taskInfo"]["name"] == stage_of(task) for task in staged)


def test_every_step_that_acts_sees_what_is_kept_where_the_image_keeps_it(pods: dict[str, dict[str, Any]]) -> None:
    mounted = {
        name.removeprefix("exec-").rstrip("-0123456789"): pod["pvcMount"]
        for name, pod in pods.items()
        if "pvcMount" in pod
    }
    assert set(mounted) == {"begin-rollout", "rollout-stage", "promote", "end-rollout"}
    (home,) = re.findall(r"^WORKDIR (/tmp)$", (ROOT / "images/pipeline/Dockerfile").read_text(), re.MULTILINE)
    manual = (ROOT / "manifests/README.md").read_text()
    controllers = yaml.safe_load((ROOT / "manifests/rollout/persistentvolumeclaim.yaml").read_text())
    for ((claim,),) in zip(mounted.values(), strict=True):
        assert (claim["mountPath"], claim["subPath"]) == (f"{home}/var/rollouts", "rollouts")
        assert f"`{claim['constant']}`" in manual
        assert claim["constant"] == controllers["metadata"]["name"]


def test_a_step_may_write_beside_what_is_kept(pods: dict[str, dict[str, Any]]) -> None:
    """A runtime makes the missing folders above a mount as root, which a step is not; it keeps keys there, too."""
    mounted = {name: pod for name, pod in pods.items() if "pvcMount" in pod}
    assert mounted
    for name, pod in mounted.items():
        (claim,), (volume,) = pod["pvcMount"], pod.get("emptyDirMounts") or [{}]
        assert volume.get("mountPath") == str(PurePosixPath(claim["mountPath"]).parent), name


def test_whoever_verifies_or_promotes_has_the_public_keys(pods: dict[str, dict[str, Any]]) -> None:
    trusting = {
        name.removeprefix("exec-").rstrip("-0123456789") for name, pod in pods.items() if "configMapAsVolume" in pod
    }
    registering = {"register"} & {name.removeprefix("exec-") for name in pods}
    assert trusting == {"verify", "begin-rollout", "rollout-stage", "promote", "end-rollout"} | registering


def test_training_deploys_only_where_it_is_asked_for() -> None:
    spec = next(yaml.safe_load_all(compile_pipeline("train")))
    assert spec["root"]["inputDefinitions"]["parameters"]["deploy"]["defaultValue"] is False
    (name,) = [
        name
        for name, entry in spec["components"].items()
        if "secondread-deploy" in entry.get("dag", {}).get("tasks", {})
    ]
    gates = [task for entry in spec["components"].values() for task in entry.get("dag", {}).get("tasks", {}).values()]
    (gate,) = [task for task in gates if task["componentRef"]["name"] == name]
    assert gate["triggerPolicy"]["condition"] == "inputs.parameter_values['pipelinechannel--deploy'] == true"
    assert gate["dependentTasks"] == ["register"]
    version = tasks(spec, name)["secondread-deploy"]["inputs"]["parameters"]["model_version"]
    assert version == {"componentInputParameter": "pipelinechannel--register-Output"}
