"""Submitting: the real KFP client over real HTTP, against a stand-in for the server, which needs a cluster."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from secondread.data.store.mirror import listing_hash
from secondread.data.store.open import open_object_store
from secondread.errors import DependencyError, GateRefused, InputError, SecondReadError
from secondread.pipeline import success
from secondread.pipeline.arguments import (
    DataPipelineSettings,
    TrainPipelineSettings,
    data_arguments,
    pipeline_arguments,
)
from secondread.pipeline.deploy_arguments import (
    DeployPipelineSettings,
    RolloutSettings,
    deploy_arguments,
    deployment_arguments,
)
from secondread.pipeline.score_arguments import ScorePipelineSettings, score_arguments
from secondread.pipeline.submit import FAILED_LOOKS, submit, wait

_spec = importlib.util.spec_from_file_location("kubeflow_api", Path(__file__).with_name("kubeflow_api.py"))
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

MODELS = "s3://secondread-models"
ON_A_CLUSTER = {"splitter": "kserve-canary", "observe": {"prometheus_url": "http://prometheus:9090"}}
ALL_AT_ONCE = {"stages": [{"name": "full", "traffic_percent": 100}]}


@pytest.fixture
def api() -> Iterator[Any]:
    with _module.kubeflow_api() as running:
        yield running


def send(api: Any, **how: Any) -> Any:
    arguments = pipeline_arguments(TrainPipelineSettings(source="phantom://demo?images=90", root=MODELS), remote=True)
    return submit("train", arguments, host=api.url, experiment="secondread", token="secret", **how)  # noqa: S106


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


def test_a_pipeline_is_looked_for_in_the_namespace_that_it_was_uploaded_to(api: Any) -> None:
    """Found nowhere else, it would be uploaded again, which the server refuses."""
    sent = [send(api, namespace=each) for each in ("ward", "ward", "research", "")]
    assert [each.pipeline_id for each in sent] == ["p1", "p1", "p2", "p3"]
    assert len(api.versions) == len(api.pipelines) == 3
    assert [run["pipeline_version_reference"]["pipeline_id"] for run in api.runs] == ["p1", "p1", "p2", "p3"]


def test_waiting_follows_the_run_to_its_end(api: Any) -> None:
    pauses: list[float] = []
    api.states = [{"state": "PENDING"}, {"state": "RUNNING"}, ended("SUCCEEDED", ("register", "SUCCEEDED"))]
    assert wait(send(api), pause=pauses.append) == "registered"
    assert len(pauses) == 2


def test_a_host_that_is_away_for_a_moment_ends_no_waiting(api: Any) -> None:
    pauses: list[float] = []
    api.refusals = [503, 502, 429]
    api.states = [{"state": "RUNNING"}, ended("SUCCEEDED", ("register", "SUCCEEDED"))]
    assert wait(send(api), pause=pauses.append) == "registered"
    assert len(pauses) == 4


@pytest.mark.parametrize(("status", "looks"), [(503, FAILED_LOOKS), (401, 1), (404, 1)])
def test_waiting_ends_when_the_host_stays_away_or_says_no(api: Any, status: int, looks: int) -> None:
    pauses: list[float] = []
    api.refusals = [status] * (looks + 5)
    with pytest.raises(DependencyError, match=f"refused .{status}"):
        wait(send(api), pause=pauses.append)
    assert len(pauses) == looks - 1
    assert len(api.refusals) == 5


def test_a_green_run_whose_gate_refused_is_told_from_one_that_registered(api: Any) -> None:
    api.states = [ended("SUCCEEDED", ("evaluate on val", "SUCCEEDED"), ("register", "SKIPPED"))]
    with pytest.raises(GateRefused, match="nothing was registered"):
        wait(send(api))


def send_data(api: Any) -> Any:
    settings = DataPipelineSettings("phantom://demo?images=90", "s3://films/versions", audit={"fail_on": "serious"})
    return submit("data", data_arguments(settings, remote=True), host=api.url, experiment="secondread")


def test_the_data_pipeline_is_published_by_its_own_last_step(api: Any) -> None:
    api.states = [ended("SUCCEEDED", ("audit", "SUCCEEDED"), ("publish", "SUCCEEDED"))]
    assert wait(send_data(api)) == "published"
    assert list(api.pipelines) == [("", "secondread-data")]
    parameters = api.runs[0]["runtime_config"]["parameters"]
    assert parameters["publish_to"] == "s3://films/versions"
    assert parameters["audit_settings"] == {"fail_on": "serious"}


def test_an_audit_that_refused_is_told_from_one_that_let_pass(api: Any) -> None:
    api.states = [ended("SUCCEEDED", ("audit", "SUCCEEDED"), ("publish", "SKIPPED"))]
    with pytest.raises(GateRefused, match=r"nothing was published\. The audit says why") as caught:
        wait(send_data(api))
    assert caught.value.exit_code == 4


def send_scoring(api: Any) -> Any:
    settings = ScorePipelineSettings("phantom://cxr?images=9", "s3://films/readings", which="3")
    return submit("batch-score", score_arguments(settings, remote=True), host=api.url, experiment="secondread")


def test_the_scoring_pipeline_delivers_by_its_own_last_step(api: Any) -> None:
    api.states = [ended("SUCCEEDED", ("score", "SUCCEEDED"), ("deliver", "SUCCEEDED"))]
    assert wait(send_scoring(api)) == "delivered"
    assert list(api.pipelines) == [("", "secondread-batch-score")]
    parameters = api.runs[0]["runtime_config"]["parameters"]
    assert (parameters["model_version"], parameters["publish_to"]) == ("3", "s3://films/readings")
    assert len(parameters["source_fingerprint"]) == len(parameters["code_fingerprint"]) == 64


def test_readings_that_were_refused_are_told_from_those_that_were_delivered(api: Any) -> None:
    api.states = [ended("SUCCEEDED", ("score", "SUCCEEDED"), ("deliver", "SKIPPED"))]
    with pytest.raises(GateRefused, match=r"nothing was delivered\. The page of the score step says why"):
        wait(send_scoring(api))


def send_deployment(api: Any) -> Any:
    rollout = RolloutSettings("fewer missed effusions", ALL_AT_ONCE, ON_A_CLUSTER)
    arguments = deploy_arguments(DeployPipelineSettings(rollout, which="7"), remote=True)
    return submit("deploy", arguments, host=api.url, experiment="secondread")


def test_the_deployment_pipeline_promotes_by_its_own_last_step(api: Any) -> None:
    api.states = [ended("SUCCEEDED", ("every stage", "SUCCEEDED"), ("promote", "SUCCEEDED"))]
    assert wait(send_deployment(api)) == "promoted"
    parameters = api.runs[0]["runtime_config"]["parameters"]
    assert (parameters["model_version"], parameters["reason"]) == ("7", "fewer missed effusions")
    assert json.loads(parameters["policy"]) == ALL_AT_ONCE


def test_a_version_that_was_rolled_back_is_told_from_one_that_was_promoted(api: Any) -> None:
    api.states = [ended("SUCCEEDED", ("every stage", "SUCCEEDED"), ("canary", "SUCCEEDED"), ("promote", "SKIPPED"))]
    with pytest.raises(GateRefused, match=r"nothing was promoted\. The timeline of the rollout says why"):
        wait(send_deployment(api))


@pytest.mark.parametrize(
    ("tasks", "says"),
    [
        ([("register", "SUCCEEDED"), ("promote", "SUCCEEDED")], "promoted"),
        ([("register", "SUCCEEDED"), ("verify", "SUCCEEDED")], "nothing was promoted. The timeline of the rollout"),
        ([("evaluate on val", "SUCCEEDED")], "nothing was registered. The evaluate steps say why"),
    ],
)
def test_a_training_that_deploys_is_done_when_its_version_is_champion(
    api: Any, tasks: list[tuple[str, str]], says: str
) -> None:
    settings = TrainPipelineSettings(source="phantom://demo?images=90", root=MODELS)
    rollout = RolloutSettings("why not", ALL_AT_ONCE, ON_A_CLUSTER)
    deploying = deployment_arguments(rollout, "secondread", remote=True)
    arguments = pipeline_arguments(settings, remote=True) | deploying
    api.states = [ended("SUCCEEDED", *tasks)]
    sent = submit("train", arguments, host=api.url, experiment="secondread")
    if says == "promoted":
        assert wait(sent) == says
    else:
        with pytest.raises(GateRefused, match=says):
            wait(sent)


def test_a_source_in_a_store_is_sent_by_its_uri_with_what_was_listed(
    api: Any, store_root: str, swift: Any, film: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in swift.variables().items():
        monkeypatch.setenv(name, value)
    store = open_object_store(store_root, swift.environment())
    store.write("normal/1.png", film(1), sha256="")
    arguments = pipeline_arguments(TrainPipelineSettings(source=store_root, root=MODELS), remote=True)
    submit("train", arguments, host=api.url, experiment="x")
    parameters = api.runs[0]["runtime_config"]["parameters"]
    assert parameters["source"] == store_root
    assert parameters["source_fingerprint"] == listing_hash(store.objects("", at_most=9))
    assert "testing" not in str(api.runs) + str(api.versions)
    store.write("normal/1.png", film(2), sha256="")
    again = pipeline_arguments(TrainPipelineSettings(source=store_root, root=MODELS), remote=True)
    assert again["source_fingerprint"] != arguments["source_fingerprint"]


@pytest.mark.parametrize(("root", "said"), [("", "say where the registered model goes"), ("/mnt", "which a pod loses")])
def test_a_model_goes_where_its_version_can_point_to(root: str, said: str) -> None:
    """What a step leaves in its output is uploaded after the step, when the version would be there already."""
    with pytest.raises(InputError, match=said):
        pipeline_arguments(TrainPipelineSettings(source="phantom://demo?images=90", root=root), remote=True)


def test_no_step_is_taken_from_the_cache_when_told_so(api: Any) -> None:
    send(api)
    send(api, reuse=False)
    uploaded = [yaml.safe_load_all(text) for text in bodies(api)]
    on, off = ([task.get("cachingOptions", {}) for task in tasks(next(documents))] for documents in uploaded)
    assert len(on) == len(off)
    assert on.count({"enableCache": True}) == 6
    assert off.count({}) == len(off)


def bodies(api: Any) -> list[str]:
    """The YAML of each uploaded version, out of the form that it came in."""
    return [version["body"].decode().split("\r\n\r\n", 1)[1].split("\r\n--")[0] for version in api.versions]


def tasks(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for component in (spec["root"], *spec["components"].values()):
        yield from component.get("dag", {}).get("tasks", {}).values()


@pytest.mark.parametrize(
    ("kind", "exit_code"), [(InputError, 2), (DependencyError, 3), (GateRefused, 4), (ZeroDivisionError, 70)]
)
def test_a_run_that_failed_ends_with_the_exit_code_of_its_step(
    api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], exit_code: int
) -> None:
    """What the step writes in its pod is what `wait` reads of it, with what Argo puts around it."""
    said = step_ends_with(kind("source x is gone.\nName another."), tmp_path, monkeypatch)
    api.nodes = {
        "n1": {"message": "child 'n2' failed", "finishedAt": "2026-01-01T00:00:09Z"},
        "n2": {"message": f"main: Error (exit code 1): {said}", "finishedAt": "2026-01-01T00:00:05Z"},
        "n3": {"finishedAt": None},
    }
    api.states = [ended("FAILED", ("train", "FAILED"))]
    sent = send(api)
    with pytest.raises(SecondReadError) as caught:
        wait(sent)
    assert caught.value.exit_code == exit_code
    assert str(caught.value) == f"train: source x is gone. Name another. See {sent.url}."


def step_ends_with(error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a step that fails in a pod leaves as the reason of its end."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(success, "TERMINATION_LOG", folder / "termination-log")
    with pytest.raises((SystemExit, ZeroDivisionError)), success.recorded("train", folder / "model"):
        raise error
    return (folder / "termination-log").read_text()


@pytest.mark.parametrize("nodes", [None, {}, {"n1": {"message": "OOMKilled (exit code 137)"}}])
def test_a_run_that_failed_without_a_word_names_the_step(api: Any, nodes: dict[str, Any] | None) -> None:
    """The pod had no chance to speak, or the server does not tell: something outside failed."""
    api.nodes = nodes
    api.states = [ended("FAILED", ("train", "FAILED"))]
    with pytest.raises(DependencyError, match="ended as FAILED in train") as caught:
        wait(send(api))
    assert caught.value.exit_code == 3


def test_a_run_that_someone_cancelled_is_no_bug_of_ours(api: Any) -> None:
    api.states = [ended("CANCELED", ("train", "FAILED"))]
    with pytest.raises(DependencyError, match="ended as CANCELED") as caught:
        wait(send(api))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_path_of_this_machine_is_refused(tmp_path: Path, scheme: str) -> None:
    with pytest.raises(InputError, match=r"which a pod cannot reach.*Copy it to s3:// or swift://"):
        pipeline_arguments(TrainPipelineSettings(source=f"{scheme}{tmp_path}", root=MODELS), remote=True)


def test_settings_go_out_as_json_knows_them() -> None:
    settings = TrainPipelineSettings(source="phantom://demo?images=90", root=MODELS, quantize={"batch_sizes": (1, 4)})
    assert pipeline_arguments(settings)["quantize_settings"] == {"batch_sizes": [1, 4]}


def test_a_host_that_does_not_answer_is_a_missing_dependency() -> None:
    arguments = pipeline_arguments(TrainPipelineSettings(source="phantom://demo?images=90", root=MODELS), remote=True)
    with pytest.raises(DependencyError, match="does not answer"):
        submit("train", arguments, host="http://127.0.0.1:9", experiment="x")


def test_stdout_is_left_alone(api: Any, capsys: pytest.CaptureFixture[str]) -> None:
    send(api)
    assert capsys.readouterr().out == ""
