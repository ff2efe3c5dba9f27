"""Submitting: the real KFP client over real HTTP, against a stand-in for the server, which needs a cluster."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secondread.errors import DependencyError, GateRefused, InputError, SecondReadError
from secondread.pipeline.arguments import TrainPipelineSettings, pipeline_arguments
from secondread.pipeline.submit import submit, wait

_spec = importlib.util.spec_from_file_location("kubeflow_api", Path(__file__).with_name("kubeflow_api.py"))
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)


@pytest.fixture
def api() -> Iterator[Any]:
    with _module.kubeflow_api() as running:
        yield running


def send(api: Any) -> Any:
    arguments = pipeline_arguments(TrainPipelineSettings(source="phantom://demo?images=90"), remote=True)
    return submit("train", arguments, host=api.url, experiment="secondread", token="secret")  # noqa: S106


def ended(state: str, *tasks: tuple[str, str]) -> dict[str, Any]:
    details = [{"display_name": name, "state": task_state} for name, task_state in tasks]
    return {"run_id": "r1", "state": state, "run_details": {"task_details": details}}


def test_a_run_is_started_of_a_new_version_with_its_fingerprints(api: Any) -> None:
    sent = send(api)
    assert sent.version.startswith("0.1.0-")
    assert [version["display_name"] for version in api.versions] == [sent.version]
    parameters = api.runs[0]["runtime_config"]["parameters"]
    assert parameters["source"] == "phantom://demo?images=90"
    assert len(parameters["source_fingerprint"]) == len(parameters["code_fingerprint"]) == 64
    assert api.runs[0]["pipeline_version_reference"]["pipeline_version_id"] == sent.version_id
    assert any("secret" in (token or "") for token in api.tokens)


def test_the_same_yaml_is_uploaded_once(api: Any) -> None:
    send(api)
    send(api)
    assert len(api.versions) == 1
    assert len(api.runs) == 2


def test_waiting_follows_the_run_to_its_end(api: Any) -> None:
    pauses: list[float] = []
    api.states = [{"state": "PENDING"}, {"state": "RUNNING"}, ended("SUCCEEDED", ("register", "SUCCEEDED"))]
    assert wait(send(api), pause=pauses.append) == "registered"
    assert len(pauses) == 2


def test_a_green_run_whose_gate_refused_is_told_from_one_that_registered(api: Any) -> None:
    api.states = [ended("SUCCEEDED", ("evaluate on val", "SUCCEEDED"), ("register", "SKIPPED"))]
    with pytest.raises(GateRefused, match="nothing was registered"):
        wait(send(api))


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_a_run_that_failed_names_the_step(api: Any, state: str) -> None:
    api.states = [ended(state, ("train", "FAILED"))]
    with pytest.raises(SecondReadError, match=rf"ended as {state} in train"):
        wait(send(api))


def test_a_path_of_this_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which a pod cannot reach"):
        pipeline_arguments(TrainPipelineSettings(source=str(tmp_path)), remote=True)


def test_a_host_that_does_not_answer_is_a_missing_dependency() -> None:
    arguments = pipeline_arguments(TrainPipelineSettings(source="phantom://demo?images=90"), remote=True)
    with pytest.raises(DependencyError, match="does not answer"):
        submit("train", arguments, host="http://127.0.0.1:9", experiment="x")


def test_stdout_is_left_alone(api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    send(api)
    assert capsys.readouterr().out == ""
