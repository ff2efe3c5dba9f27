"""Every compiled pipeline: stable, as committed, pinned, with resources, and with nothing secret in it."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from secondread.config.mapping import from_mapping
from secondread.pipeline.compile import LAST_STEPS, compile_pipeline, compiled_name

ROOT = Path(__file__).resolve().parents[2]
DEPLOYING = ("verify", "begin-rollout", "rollout-stage", "promote", "end-rollout")
COMPONENTS = sorted(path.parent for path in (ROOT / "components").glob("*/component.py"))


@pytest.fixture(scope="module", params=sorted(LAST_STEPS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(compile_pipeline(name)))


@pytest.fixture(scope="module")
def spec(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return documents[0]


@pytest.fixture(scope="module")
def executors(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: entry["container"] for name, entry in spec["deploymentSpec"]["executors"].items()}


@pytest.fixture(scope="module")
def platform(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return dict(documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"])


def committed(name: str) -> str:
    return (ROOT / "pipelines" / "compiled" / compiled_name(name)).read_text()


def test_the_committed_yaml_is_what_the_code_gives(name: str) -> None:
    assert compile_pipeline(name) == committed(name), "run `make compile` and commit the result"


def test_every_pipeline_is_committed_and_compiled_by_make() -> None:
    assert {path.name for path in (ROOT / "pipelines" / "compiled").iterdir()} == set(map(compiled_name, LAST_STEPS))
    made = re.search(r"^compile:.*?\n\n", (ROOT / "Makefile").read_text(), re.MULTILINE | re.DOTALL)
    assert made is not None
    for name in LAST_STEPS:
        assert f"pipeline compile {name}" in made[0]


def test_another_process_in_another_place_gives_the_same_bytes(tmp_path: Path) -> None:
    """Another folder, time zone and hash seed; and no commit can matter, since there is none there."""
    script = (
        "import sys; from secondread.pipeline.compile import compile_pipeline;"
        "print(*map(compile_pipeline, sys.argv[1:]), sep='', end='')"
    )
    environment = {**os.environ, "TZ": "Pacific/Auckland", "PYTHONHASHSEED": "7", "SECONDREAD_HOME": str(tmp_path)}
    command = [sys.executable, "-c", script, *LAST_STEPS]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "".join(map(committed, LAST_STEPS))


def test_nothing_of_a_run_is_compiled_in(spec: dict[str, Any]) -> None:
    defaults = {
        name: entry.get("defaultValue") for name, entry in spec["root"]["inputDefinitions"]["parameters"].items()
    }
    hashes = {"source_fingerprint", "code_fingerprint", "dataset_version", "parent_version", "champion_digest"}
    hashes |= {"model_digest"}
    assert {defaults[name] for name in hashes & set(defaults)} == {""}
    assert "code_fingerprint" in defaults


def test_every_step_installs_nothing_and_has_a_pinned_image(executors: dict[str, dict[str, Any]]) -> None:
    for name, container in executors.items():
        assert container["image"].rpartition(":")[2] == "0.1.0", name
        assert "pip install" not in " ".join(container["command"]), name


def test_every_step_asks_for_resources(executors: dict[str, dict[str, Any]]) -> None:
    asked = {"resourceCpuRequest", "resourceCpuLimit", "resourceMemoryRequest", "resourceMemoryLimit"}
    for name, container in executors.items():
        assert asked <= set(container["resources"]), name


def test_a_component_body_is_thin() -> None:
    for path in sorted((ROOT / "components").glob("*/component.py")):
        body = path.read_text().rpartition('"""')[2].strip().splitlines()
        assert len(body) <= 30, f"{path} has {len(body)} lines"
        assert "from secondread.pipeline" in "\n".join(body), path


@pytest.mark.parametrize("folder", COMPONENTS, ids=lambda path: path.name)
def test_a_components_readme_names_every_input_and_output(folder: Path) -> None:
    component = importlib.import_module(f"secondread_components.{folder.name}.component")
    text = (folder / "README.md").read_text()
    for name in inspect.signature(getattr(component, folder.name).python_func).parameters:
        assert f"`{name}`" in text, name


@pytest.mark.parametrize("folder", COMPONENTS, ids=lambda path: path.name)
def test_the_settings_of_a_readme_exist(folder: Path) -> None:
    """An example that would be refused teaches nothing."""
    for example in re.findall(r"`(\{.*?\})`", (folder / "README.md").read_text()):
        module = importlib.import_module(f"secondread.config.{folder.name}")
        from_mapping(getattr(module, f"{folder.name.capitalize()}Config"), json.loads(example))


def tasks(spec: dict[str, Any], name: str) -> dict[str, Any]:
    component = spec["root"] if name == "root" else spec["components"][name]
    return dict(component["dag"]["tasks"])


def every_task(spec: dict[str, Any], name: str = "root") -> dict[str, Any]:
    """Those of the conditions and of the exit handler too."""
    found = {}
    for key, task in tasks(spec, name).items():
        component = task["componentRef"]["name"]
        found |= every_task(spec, component) if "dag" in spec["components"][component] else {key: task}
    return found


def test_what_acts_on_what_lies_outside_of_a_run_is_never_cached(spec: dict[str, Any], name: str) -> None:
    cached = {name: task["cachingOptions"].get("enableCache", False) for name, task in every_task(spec).items()}
    uncached = {name.rstrip("-0123456789") for name, on in cached.items() if not on}
    expected = {
        "train": {"conclude", "refuse", *DEPLOYING},
        "retrain": {"conclude", "refuse"},
        "deploy": set(DEPLOYING),
    }
    assert uncached == {*expected.get(name, {"conclude"}), LAST_STEPS[name]}


def test_the_last_step_stands_behind_a_gate(spec: dict[str, Any], name: str) -> None:
    graphs = [component for component, entry in spec["components"].items() if "dag" in entry]
    every = [task for graph in graphs for task in tasks(spec, graph).values()]
    gates = [task["componentRef"]["name"] for task in every if "triggerPolicy" in task]
    assert any(LAST_STEPS[name] in tasks(spec, gate) for gate in gates)


def test_every_step_is_tried_again_once(spec: dict[str, Any]) -> None:
    for name, task in every_task(spec).items():
        assert task["retryPolicy"]["maxRetryCount"] == 1, name


def test_pods_get_their_settings_from_the_cluster(platform: dict[str, dict[str, Any]]) -> None:
    assert all("configMapAsEnv" in entry for entry in platform.values())
    keyed = {step: entry["secretAsVolume"] for step, entry in platform.items() if "secretAsVolume" in entry}
    assert all(volume["optional"] for volumes in keyed.values() for volume in volumes)
    names = {step: [volume["secretName"] for volume in volumes] for step, volumes in keyed.items()}
    expected = {"exec-ingest": ["secondread-patient-key"], "exec-register": ["secondread-signing-key"]}
    assert names == {step: secrets for step, secrets in expected.items() if step in platform}


def test_the_keys_to_the_stores_come_from_a_secret_by_name(name: str, platform: dict[str, dict[str, Any]]) -> None:
    reaching = {
        "data": {"ingest", "preprocess", "publish"},
        "train": {"ingest", "register", *DEPLOYING},
        "retrain": {"fetch", "champion", "register"},
        "deploy": set(DEPLOYING),
        "batch-score": {"score", "deliver"},
    }[name]
    with_store = [step for step, entry in platform.items() if "secretAsEnv" in entry]
    assert {step.removeprefix("exec-").rstrip("-0123456789") for step in with_store} == reaching
    for step in with_store:
        secret = platform[step]["secretAsEnv"][0]
        assert (secret["secretName"], secret["optional"]) == ("secondread-store", True)
        variables = {key["envVar"] for key in secret["keyToEnv"]}
        assert {"AWS_SECRET_ACCESS_KEY", "OS_APPLICATION_CREDENTIAL_SECRET", "ST_KEY"} <= variables
        assert all(key["secretKey"] == key["envVar"] for key in secret["keyToEnv"])


def test_every_variable_of_a_secret_is_read_and_documented(platform: dict[str, dict[str, Any]]) -> None:
    """A key that nobody reads, or that no owner of a cluster hears of, would be of no use."""
    reader = (ROOT / "secondread" / "config" / "environment.py").read_text()
    manual = (ROOT / "manifests" / "README.md").read_text()
    secrets = [secret for entry in platform.values() for secret in entry.get("secretAsEnv", [])]
    for variable in {key["envVar"] for secret in secrets for key in secret["keyToEnv"]}:
        assert f'"{variable}"' in reader
        assert variable in manual
