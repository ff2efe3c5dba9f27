"""The compiled pipeline: stable, as committed, and of the shape that the design says."""

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
from secondread.pipeline.compile import compile_pipeline, compiled_name

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = sorted(path.parent for path in (ROOT / "components").glob("*/component.py"))
COMMITTED = ROOT / "pipelines" / "compiled" / compiled_name("train")


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(compile_pipeline("train")))


@pytest.fixture(scope="module")
def spec(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return documents[0]


@pytest.fixture(scope="module")
def executors(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: entry["container"] for name, entry in spec["deploymentSpec"]["executors"].items()}


def test_the_committed_yaml_is_what_the_code_gives() -> None:
    assert compile_pipeline("train") == COMMITTED.read_text(), "run `make compile` and commit the result"


def test_another_process_in_another_place_gives_the_same_bytes(tmp_path: Path) -> None:
    """Another folder, time zone and hash seed; and no commit can matter, since there is none there."""
    script = "from secondread.pipeline.compile import compile_pipeline; print(compile_pipeline('train'), end='')"
    environment = {**os.environ, "TZ": "Pacific/Auckland", "PYTHONHASHSEED": "7", "SECONDREAD_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == COMMITTED.read_text()


def test_nothing_of_a_run_is_compiled_in(spec: dict[str, Any]) -> None:
    defaults = {
        name: entry.get("defaultValue") for name, entry in spec["root"]["inputDefinitions"]["parameters"].items()
    }
    assert defaults["source_fingerprint"] == ""
    assert defaults["code_fingerprint"] == ""


def test_six_components_and_an_exit_handler(executors: dict[str, dict[str, Any]]) -> None:
    names = {name.removeprefix("exec-").rstrip("-0123456789") for name in executors}
    assert names == {"ingest", "preprocess", "train", "evaluate", "quantize", "register", "conclude"}


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


def test_every_step_is_tried_again_once(spec: dict[str, Any]) -> None:
    policy = tasks(spec, "comp-exit-handler-1")["ingest"]["retryPolicy"]
    assert policy["maxRetryCount"] == 1


def test_pods_get_their_settings_from_the_cluster(documents: list[dict[str, Any]]) -> None:
    platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert all("configMapAsEnv" in entry for entry in platform.values())
    assert platform["exec-ingest"]["secretAsVolume"][0]["optional"]
