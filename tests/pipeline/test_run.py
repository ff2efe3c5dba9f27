"""A real run through KFP's local runner: from a folder of films to a registered version, and what can go wrong."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import InputError
from secondread.export.repository.layout import read_repository, verify_repository
from secondread.model.folder import ModelFolder
from secondread.pipeline.run import run_steps
from secondread.pipeline.steps.ingest import ingest
from secondread.pipeline.success import failures
from secondread.pipeline.train_run import TrainRun
from secondread.tracking.registry import Registry
from secondread.tracking.runs import open_client
from tests.pipeline.conftest import TINY

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("ingest", "preprocess", "train", "evaluate on val", "quantize", "evaluate on test", "register")


def test_every_step_ran_once_and_in_order(first_run: TrainRun) -> None:
    assert tuple(first_run.seconds) == STEPS
    assert all(seconds > 0 for seconds in first_run.seconds.values())
    assert first_run.cached == ()


def test_the_model_is_registered_as_champion(first_run: TrainRun, pipeline: Any) -> None:
    version = Registry(pipeline.tracking_uri).get("tiny")
    assert first_run.status == "registered"
    assert (version.version, version.alias) == (1, "champion")
    assert version.storage_uri == first_run.model_repository
    assert version.digest == ModelFolder.open(first_run.model).digest()
    assert version.run_id == first_run.mlflow_run


def test_what_triton_loads_is_the_model_that_was_judged(first_run: TrainRun) -> None:
    stored = read_repository(Path(first_run.model_repository), "tiny")
    assert (stored.version, stored.digest) == ("1", ModelFolder.open(first_run.model).digest())
    judged = json.loads(Path(first_run.report).with_name("evaluation.json").read_text())
    assert judged["digest"] == stored.digest
    assert judged["split"] == "test"


def test_the_figures_have_the_shape_that_machines_read(first_run: TrainRun) -> None:
    for name in ("accuracy", "auroc_macro"):
        figure = first_run.metrics[name]
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1


def test_mlflow_has_settings_epochs_and_the_gates_figures(first_run: TrainRun, pipeline: Any) -> None:
    client = open_client(pipeline.tracking_uri)
    run = client.get_run(first_run.mlflow_run)
    assert run.data.params["preset"] == "vit-test-32"
    assert run.info.status == "FINISHED"
    keys = set(run.data.metrics)
    assert any("loss" in key for key in keys)
    assert any("learning_rate" in key for key in keys)
    tags = client.get_model_version("tiny", "1").tags
    assert float(tags["gate.accuracy"]) == pytest.approx(first_run.metrics["accuracy"]["value"], abs=1e-6)
    assert len(tags["code_fingerprint"]) == 64


def below_the_training(client: MlflowClient, run: TrainRun, kind: str, **params: str) -> list[Run]:
    """The runs of a kind that are shown below the training's."""
    asked = f"tags.mlflow.parentRunId = '{run.mlflow_run}' and tags.kind = '{kind}'"
    found = client.search_runs([client.get_run(run.mlflow_run).info.experiment_id], asked)
    return [each for each in found if params.items() <= each.data.params.items()]


def test_mlflow_has_the_evaluation_on_test_with_its_intervals_and_pages(first_run: TrainRun, pipeline: Any) -> None:
    client = open_client(pipeline.tracking_uri)
    (judged,) = below_the_training(client, first_run, "evaluation", split="test")
    told = judged.data.metrics
    accuracy = first_run.metrics["accuracy"]
    assert [told[f"accuracy{end}"] for end in ("", "_low", "_high")] == [
        accuracy[end] for end in ("value", "low", "high")
    ]
    kept = {item.path for item in client.list_artifacts(judged.info.run_id)}
    assert kept == {"evaluation.json", "report.html", "summary.md", "MODEL_CARD.md", "predictions.parquet"}
    assert {"recall/cxr-covid", "recall/cxr-covid_low", "turned_away/these", "latency_p99_ms"} <= set(told)
    assert judged.data.tags["pipeline_run"] == client.get_run(first_run.mlflow_run).data.tags["pipeline_run"]
    tags = client.get_model_version("tiny", "1").tags
    assert tags["gate.images_at_least"].startswith("passed: ")
    assert tags["model_card"] == f"runs:/{judged.info.run_id}/MODEL_CARD.md"


def test_mlflow_has_the_early_evaluation_and_the_quantization(first_run: TrainRun, pipeline: Any) -> None:
    client = open_client(pipeline.tracking_uri)
    (early,) = below_the_training(client, first_run, "evaluation", split="val")
    assert "accuracy_low" in early.data.metrics
    (compared,) = below_the_training(client, first_run, "quantization")
    assert {item.path for item in client.list_artifacts(compared.info.run_id)} == {"quantize.json", "quantize.html"}
    figures = {"quantized_agreement", "quantized_size_share", "quantized_speedup_batch_1", "accuracy/fp32"}
    assert figures <= set(compared.data.metrics)


def test_mlflow_knows_what_the_run_was_trained_on(first_run: TrainRun, pipeline: Any) -> None:
    run = open_client(pipeline.tracking_uri).get_run(first_run.mlflow_run)
    inputs = {item.dataset.name: item.dataset for item in run.inputs.dataset_inputs}
    assert set(inputs) == {"cxr-32px-train", "cxr-32px-val"}
    folder = Path(json.loads(inputs["cxr-32px-train"].source)["uri"])
    version = DatasetVersion.open(folder)
    assert version.name == first_run.dataset_version
    for split in ("train", "val"):
        entity = inputs[f"cxr-32px-{split}"]
        assert entity.digest == version.content_hash[:36] == run.data.tags["dataset_version"][:36]
        assert json.loads(entity.profile)[split] == version.counts[split]


def test_the_version_says_which_run_and_which_commit_it_came_from(first_run: TrainRun, pipeline: Any) -> None:
    tags = open_client(pipeline.tracking_uri).get_model_version("tiny", "1").tags
    assert Path(first_run.report).is_relative_to(pipeline.home / "runs" / tags["pipeline_run"])
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert tags["git_revision"].removesuffix("-dirty") == head.strip()
    assert tags["synthetic"] == "false"


def test_a_second_run_takes_all_but_registering_from_the_cache(first_run: TrainRun, pipeline: Any) -> None:
    before = len(Registry(pipeline.tracking_uri).versions("tiny"))
    again = pipeline.run()
    assert again.cached == STEPS[:-1]
    assert tuple(again.seconds) == STEPS
    assert again.registered_version == first_run.registered_version
    assert again.report == first_run.report
    assert len(Registry(pipeline.tracking_uri).versions("tiny")) == before


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_damaged_repository_is_mended_by_the_next_run(first_run: TrainRun, pipeline: Any, damage: str) -> None:
    repository = Path(first_run.model_repository)
    if damage == "gone":
        shutil.rmtree(repository)
    else:
        (repository / "tiny" / "1" / "model.onnx").write_bytes(b"no graph")
    again = pipeline.run()
    assert (again.registered_version, again.model_repository) == (1, str(repository))
    verify_repository(repository)


def test_a_step_refuses_to_work_for_a_client_of_another_version(tmp_path: Path) -> None:
    """What the image makes would be in the cache under the client's version."""
    with pytest.raises(SystemExit) as ended:
        ingest("phantom://demo?images=90", str(tmp_path / "images"), settings={}, client_code="0" * 64)
    assert ended.value.code == InputError.exit_code
    (failure,) = failures(tmp_path)
    assert "client and image are of different versions" in failure.message
    assert not (tmp_path / "images").exists()


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(InputError, match=r"cannot write .*/home/runs/.*SECONDREAD_HOME"):
        run_steps("train", {}, home=tmp_path / "home")


def test_an_artifact_that_is_gone_is_made_again(first_run: TrainRun, pipeline: Any) -> None:
    """KFP's own cache would take the folder's existence for its content."""
    figures = Path(first_run.report).with_name("evaluation.json")
    kept = figures.rename(figures.with_name("kept.json"))
    again = pipeline.run()
    kept.rename(figures)  # other tests look at the first run, too
    assert "evaluate on test" not in again.cached
    assert again.cached[:5] == STEPS[:5]
    assert Path(again.report).with_name("evaluation.json").is_file()


def test_a_registry_that_lost_the_version_is_filled_again(first_run: TrainRun, pipeline: Any) -> None:
    open_client(pipeline.tracking_uri).delete_model_version("tiny", "1")
    again = pipeline.run()
    assert Registry(pipeline.tracking_uri).get("tiny", str(again.registered_version)).digest


def test_a_gate_that_refuses_ends_the_run_without_registering(first_run: TrainRun, pipeline: Any) -> None:
    before = len(Registry(pipeline.tracking_uri).versions("tiny"))
    refused = pipeline.run(gate={"accuracy_above": 0.9999})
    assert refused.status == "refused"
    assert "accuracy" in refused.reason
    assert "not above 0.9999" in refused.reason
    assert refused.registered_version is None
    assert tuple(refused.seconds) == (*STEPS[:4], "refuse")
    assert len(Registry(pipeline.tracking_uri).versions("tiny")) == before


def test_a_stricter_policy_refuses_the_registered_version_too_and_a_looser_one_takes_it_back(
    first_run: TrainRun, pipeline: Any
) -> None:
    """Each comes from the cache but for the gate, and in the end the gate does as well: the last verdict is the one."""
    registry, name = Registry(pipeline.tracking_uri), str(pipeline.run().registered_version)
    loose = registry.record("tiny", name).tags
    assert loose["gate.passed"] == "true"
    for _ in range(2):
        pipeline.run(gate={"accuracy_above": 0.9999})
        strict = registry.record("tiny", name).tags
        assert strict["gate.passed"] == "false"
        assert strict["gate.accuracy_above"].startswith("failed: accuracy ")
        assert strict["gate.accuracy_above"].endswith(", on val")
        assert strict["gate.accuracy"] == loose["gate.accuracy"]  # val has no say in the figures of test
        assert strict["gate_policy"] != loose["gate_policy"]
        pipeline.run()
        assert {tag: text for tag, text in registry.record("tiny", name).tags.items() if tag.startswith("gate")} == {
            tag: text for tag, text in loose.items() if tag.startswith("gate")
        }


def test_behaviour_tests_that_changed_under_their_name_are_asked_again(
    first_run: TrainRun, pipeline: Any, tmp_path: Path
) -> None:
    """The gate goes by what the file says now, whatever the cache knows of its path."""
    easy = {"name": "brighter", "asks": "?", "change": {"kind": "brightness", "by": 0.3}, "images_at_least": 1}
    tests = tmp_path / "behaviour.yaml"
    asking = {
        "evaluate": {**TINY["evaluate"], "behaviour": str(tests)},
        "gate": {**TINY["gate"], "behaviour_tests": True},
    }
    tests.write_text(json.dumps({"invariance": [{**easy, "tolerance": 0.99}]}))
    assert pipeline.run(**asking).status == "registered"
    tests.write_text(json.dumps({"invariance": [{**easy, "tolerance": 0.0}]}))
    again = pipeline.run(**asking)
    assert (again.status, again.cached) == ("refused", STEPS[:5])
    assert "brighter" in again.reason
    pipeline.run()  # the registered version is again what it was: other tests look at it, too


def test_a_changed_image_is_not_served_from_the_cache(first_run: TrainRun, pipeline: Any) -> None:
    pipeline.change_an_image(3)
    again = pipeline.run()
    assert again.cached == ()
    assert again.dataset_version != first_run.dataset_version
    assert again.registered_version != first_run.registered_version


def test_a_step_that_fails_says_why_and_the_run_with_it(pipeline: Any) -> None:
    with pytest.raises(InputError, match=r"preprocess: class '.*' has .*too few to split"):
        pipeline.run(preprocess={"image_size": 32, "min_groups_per_class": 1000})
    assert not list(pipeline.home.rglob("*.partial"))


def test_a_setting_that_does_not_exist_is_refused_before_anything_runs(pipeline: Any) -> None:
    runs = len(list((pipeline.home / "runs").iterdir()))
    with pytest.raises(InputError, match="train has no setting epoch"):
        pipeline.run(train={"epoch": 3})
    assert len(list((pipeline.home / "runs").iterdir())) == runs


def test_a_killed_run_goes_on_where_it_was(
    first_run: TrainRun, pipeline: Any, tmp_path: Path, tiny_settings: Callable[[], list[str]]
) -> None:
    """Killed while it trains, with no chance to tidy up: its step ends too, and the next run has the dataset cached."""
    shutil.copytree(pipeline.source, tmp_path / "films")
    environment = {**os.environ, "SECONDREAD_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "secondread", "pipeline", "run", "train", "--data", str(tmp_path / "films")]
    command += ["--name", "tiny", "--json", *tiny_settings()]
    slow = [*command, "--set", "train.epochs=100000"]
    with subprocess.Popen(slow, env=environment, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if line.strip().startswith("train:"):
                break
        steps = children(run.pid)
        run.kill()
    assert steps
    for pid in steps:
        wait_until_gone(pid)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cached"] == ["ingest", "preprocess"]


def test_a_run_that_is_told_to_end_does_not_wait_for_its_step(tmp_path: Path) -> None:
    """As a scheduler or a service manager tells it: what does not end soon they kill."""
    environment = {**os.environ, "SECONDREAD_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "secondread", "pipeline", "run", "data", "--data", "phantom://demo?images=90000"]
    command += ["--publish-to", str(tmp_path / "versions")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as run:
        try:
            steps = wait_for_step(run)
            run.terminate()
            assert run.wait(timeout=20) == 128 + signal.SIGTERM
        finally:
            run.kill()
    for pid in steps:
        wait_until_gone(pid)
    assert not (tmp_path / "versions").exists()


def wait_for_step(run: subprocess.Popen[bytes]) -> list[int]:
    """Process ids below a run, as soon as a step is among them."""
    import psutil

    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            pytest.fail(f"the run ended by itself, with {run.wait(timeout=0.2)}")
        found = psutil.Process(run.pid).children(recursive=True)
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("kfp.dsl.executor_main" in each.cmdline() for each in found):
                return [each.pid for each in found]


def children(pid: int) -> list[int]:
    """Process ids below a process."""
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def wait_until_gone(pid: int) -> None:
    """Wait for a process that is not our child, at most 20 seconds."""
    import select

    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended, _, _ = select.select([handle], [], [], 20)
    os.close(handle)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        pytest.fail(f"process {pid} outlived the run that started it")
