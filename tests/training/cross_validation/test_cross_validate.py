"""A cross-validation from the command line: killed in its second fold, then asked to end there, gone on with, and
checked from its own files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from secondread.child import Child
from secondread.cli.main import app
from secondread.config.pretrain import PretrainConfig
from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError, InputError, StoppedError
from secondread.model.folder import ModelFolder
from secondread.model.session import GraphSession
from secondread.tracking.runs import TrackingConfig, open_client
from secondread.training.cross_validation.cross_validate import Plan, cross_validate
from secondread.training.cross_validation.tracked import tell_end, tell_start
from secondread.training.pretraining.pretrain import pretrain
from secondread.training.tracked import open_tracker
from secondread.training.train import train

SETTINGS = ("preset=vit-test-32", "epochs=2", "batch_size=8", "learning_rate=0.01", "threads=1")
DEADLINE_SECONDS = 300


def command(dataset: DatasetVersion, output: Path) -> list[str]:
    settings = [word for pair in SETTINGS for word in ("--set", f"train.{pair}")]
    words = ["--data", str(dataset.root), "--output", str(output), "--folds", "2", "--at-once", "1"]
    return [sys.executable, "-m", "secondread", "train", "cv", *words, "--quantize", "--json", *settings]


def mlflow_of(output: Path) -> str:
    return f"sqlite:///{output.parent}/mlflow/mlflow.db"


def wait_for(condition: Callable[[], object], running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert running.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        os.sched_yield()


@pytest.fixture(scope="module")
def killed_and_done(
    dataset: DatasetVersion, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict, list[psutil.Process], float]:
    """The output, what it printed, the processes that ran when it was ended, and when fold 1 was done."""
    output = tmp_path_factory.mktemp("cv") / "out"
    log = output.parent / "first.log"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": mlflow_of(output)}
    with log.open("wb") as file:
        first = subprocess.Popen(command(dataset, output), stdout=file, stderr=file, env=environment)
        try:
            # the first fold is done, and the second has begun to train
            wait_for(lambda: list(output.parent.glob(".out.resume-*/fold-2/data/dataset.json")), first, log)
            children = psutil.Process(first.pid).children(recursive=True)
        finally:
            first.kill()
            first.wait()
    assert list(output.parent.glob(".out.resume-*/tracking/run.json"))  # what MLflow is told of it outlives it
    (done,) = output.parent.glob(".out.resume-*/fold-1/result.json")
    when = done.stat().st_mtime
    psutil.wait_procs(children, timeout=60)
    (job := done.parents[1] / "fold-2" / "job.json").unlink()
    with log.open("wb") as file:
        second = subprocess.Popen(command(dataset, output), stdout=file, stderr=file, env=environment)
        wait_for(job.is_file, second, log)  # the second fold is begun again
        children += psutil.Process(second.pid).children(recursive=True)
        second.terminate()
        assert second.wait(60) == StoppedError.exit_code
    assert "error: training was stopped by SIGTERM. The same command, run again, goes on" in log.read_text()
    third = subprocess.run(command(dataset, output), capture_output=True, text=True, check=True, env=environment)
    return output, json.loads(third.stdout), children, when


def test_a_killed_run_leaves_no_process_and_goes_on_with_the_folds_that_are_done(killed_and_done: tuple) -> None:
    output, _, children, when = killed_and_done
    assert children
    assert not any(child.is_running() for child in children)
    assert (output / "fold-1" / "result.json").stat().st_mtime == when
    assert [path.name for path in output.parent.iterdir() if path.name.startswith(".")] == []
    assert not (output / "fold-1" / "data").exists()


def test_every_image_is_judged_once_by_the_graph_of_the_fold_that_held_it_out(
    killed_and_done: tuple, dataset: DatasetVersion
) -> None:
    output, record, _, _ = killed_and_done
    predictions = pd.read_parquet(output / "predictions.parquet")
    assert sorted(predictions["image_id"]) == sorted(dataset.manifest["image_id"])
    assert not {"patient_id", "path"} & set(predictions.columns)
    pixels = {
        image_id: image
        for split in ("train", "val", "test")
        for image_id, image in zip(dataset.split(split).rows["image_id"], dataset.split(split).images, strict=True)
    }
    truth = dataset.manifest.set_index("image_id")["label"]
    for fold, part in predictions.groupby("fold"):
        model = ModelFolder.open(output / f"fold-{fold}" / "model")
        found = GraphSession(model.graph_path(), threads=1).run(np.stack([pixels[key] for key in part["image_id"]]))
        np.testing.assert_allclose(np.stack(part["probabilities"]), found.probabilities, atol=1e-5)
        right = found.probabilities.argmax(axis=1) == truth[part["image_id"]].map(dataset.taxonomy.index)
        assert record["folds"][fold - 1]["metrics"]["accuracy"] == pytest.approx(right.mean())


def test_the_record_has_mean_interval_and_confusion_of_all(killed_and_done: tuple, dataset: DatasetVersion) -> None:
    output, record, _, _ = killed_and_done
    assert json.loads((output / "cross-validation.json").read_text()) == {
        key: value for key, value in record.items() if key != "output"
    }
    losses = [fold["metrics"]["loss"] for fold in record["folds"]]
    mean = record["metrics"]["loss"]
    assert mean["value"] == pytest.approx(np.mean(losses))
    assert mean["low"] <= mean["value"] <= mean["high"]
    assert np.sum(record["pooled"]["confusion"]) == len(dataset.manifest) == record["pooled"]["images"]
    assert record["groups_in_several_folds"] == 0
    assert record["dataset_version"] == dataset.content_hash


def test_each_folds_graph_to_serve_is_judged_on_what_it_held_out(killed_and_done: tuple) -> None:
    output, record, _, _ = killed_and_done
    predictions = pd.read_parquet(output / "predictions.parquet")
    trained, served = (np.stack(predictions[column]) for column in ("probabilities", "served"))
    np.testing.assert_allclose(served.sum(axis=1), 1, atol=1e-5)
    same = (trained.argmax(axis=1) == served.argmax(axis=1)).mean()
    assert record["quantized"]["agreement"] == pytest.approx(same)
    for fold in record["folds"]:
        model = ModelFolder.open(output / f"fold-{fold['fold']}" / "quantized")
        assert (model.root / "quantize.json").is_file()
        assert model.config.graph == "fp32.onnx" or fold["graph"] != "fp32"


def test_it_is_one_run_in_mlflow_whose_steps_are_the_folds(killed_and_done: tuple) -> None:
    output, record, _, _ = killed_and_done
    client = open_client(mlflow_of(output))
    experiment = client.get_experiment_by_name("secondread")
    (run,) = client.search_runs([experiment.experiment_id])  # the one that was killed and stopped went on as the same
    assert run.info.status == "FINISHED"
    told = {entry.step: entry.value for entry in client.get_metric_history(run.info.run_id, "accuracy")}
    assert told == pytest.approx({fold["fold"]: fold["metrics"]["accuracy"] for fold in record["folds"]})
    mean, pooled = record["metrics"]["accuracy"], record["pooled"]["metrics"]["accuracy"]
    assert run.data.metrics["mean/accuracy"] == pytest.approx(mean["value"])
    assert run.data.metrics["pooled/accuracy/low"] == pytest.approx(pooled["low"])
    assert run.data.metrics["quantized/agreement"] == pytest.approx(record["quantized"]["agreement"])
    assert (run.data.params["folds"], run.data.params["group"]) == ("2", "group_id")
    assert run.data.params["train.epochs"] == "2"
    assert run.data.tags["dataset_version"] == record["dataset_version"]
    files = {Path(item.path).name for item in client.list_artifacts(run.info.run_id, "cross-validation")}
    assert files == {"cross-validation.json", "predictions.parquet"}


def test_an_mlflow_that_is_down_is_said_before_anything_is_trained(dataset: DatasetVersion, tmp_path: Path) -> None:
    nobody = TrackingConfig("http://127.0.0.1:9", "secondread", {})
    with pytest.raises(DependencyError, match="does not answer"):
        cross_validate(dataset, tmp_path / "out", TrainConfig(), Plan(folds=2), tracking=nobody)
    assert not list(tmp_path.iterdir())


def test_the_run_of_one_that_was_killed_ends_with_the_next_one_of_something_else(
    dataset: DatasetVersion,
    killed_at: Callable[[str], AbstractContextManager[None]],
    mlflow_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracking = TrackingConfig(mlflow_uri, "secondread", {})
    with killed_at("secondread.training.cross_validation.cross_validate._run"):
        cross_validate(dataset, tmp_path / "out", TrainConfig(), Plan(folds=2), tracking=tracking)
    monkeypatch.setattr("secondread.training.cross_validation.cross_validate._run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cross_validate(dataset, tmp_path / "out", TrainConfig(), Plan(folds=3), tracking=tracking)
    client = open_client(mlflow_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'secondread'")
    told = {run.data.params["folds"]: run.info.status for run in client.search_runs([experiment.experiment_id])}
    assert told == {"2": "KILLED", "3": "FAILED"}


def test_one_that_goes_away_while_folds_train_is_told_later(
    killed_and_done: tuple,
    mlflow_uri: str,
    tmp_path: Path,
    mlflow_gone_with_the_first_figure: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    output, record, _, _ = killed_and_done
    tracking = TrackingConfig(mlflow_uri, "secondread", {})
    with open_tracker(tracking, tmp_path / "work", output=tmp_path / "out") as tracker:
        tell_start(tracker, record, folds=2)
        tell_end(tracker, record, [output / "cross-validation.json", output / "predictions.parquet"])
    (left,) = tmp_path.glob("out.tracking-*")
    assert f"complete it with `secondread train track --complete {left}`" in caplog.text
    client = open_client(mlflow_uri)
    experiment = client.get_experiment_by_name("secondread")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "RUNNING"
    assert not run.data.metrics

    mlflow_gone_with_the_first_figure.undo()  # it is back
    mlflow_gone_with_the_first_figure.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    done = CliRunner().invoke(app, ["train", "track", "--complete", str(left)])
    assert done.exit_code == 0, done.output
    run = client.get_run(run.info.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["mean/accuracy"] == pytest.approx(record["metrics"]["accuracy"]["value"])
    assert len(client.get_metric_history(run.info.run_id, "accuracy")) == 2
    files = {Path(item.path).name for item in client.list_artifacts(run.info.run_id, "cross-validation")}
    assert files == {"cross-validation.json", "predictions.parquet"}
    assert not left.exists()


def test_folds_begin_with_weights_that_were_learned_from_other_images(
    dataset: DatasetVersion, other_dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    pretrain(other_dataset, tmp_path / "weights", PretrainConfig(preset="vit-test-32", image_presentations=100))
    barely = quick(learning_rate=1e-9, epochs=1)  # so that the weights stay what they were
    plan = Plan(folds=2)
    record = cross_validate(dataset, tmp_path / "cv", barely, plan, start=tmp_path / "weights")
    began = load_file(tmp_path / "weights" / "model.safetensors")
    for fold in (1, 2):
        after = load_file(tmp_path / "cv" / f"fold-{fold}" / "model" / "model.safetensors")
        np.testing.assert_allclose(after["stem.0.weight"], began["stem.0.weight"], atol=1e-6)
    assert record["start"]["dataset_version"] == other_dataset.content_hash

    leaked = train(dataset, tmp_path / "leaked", barely).model.root
    child = replace(dataset, content_hash="0" * 64, parent=dataset.content_hash)  # it has its parent's images
    for version, whose in ((dataset, str(dataset.root)), (child, f"the parent of {dataset.root}")):
        with pytest.raises(InputError, match=rf"has learned from {whose}, so from images that the folds hold out"):
            cross_validate(version, tmp_path / "never", barely, plan, start=leaked)
    assert not (tmp_path / "never").exists()


def test_an_error_of_a_child_is_raised_here_as_what_it_was(tmp_path: Path) -> None:
    child = Child("json.tool", {}, tmp_path / "odd", environment={})  # no child of ours: it reads a file of its name
    with pytest.raises(RuntimeError, match="ended with exit code"):
        child.result()
    (tmp_path / "odd" / "error.json").write_text('{"kind": "DependencyError", "message": "no ray"}')
    with pytest.raises(DependencyError, match="no ray"):
        child.result()
