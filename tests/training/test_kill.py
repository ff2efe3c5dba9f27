"""Real trainings that are killed, or asked to end, in the middle: nothing is lost, and no figure differs in the end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.config.train import TrainConfig
from secondread.data.ingest import ingest
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.model.vit import PRESETS, preset_for
from secondread.training.module import Classifier
from secondread.training.train import train

SETTINGS = {
    **{"preset": "vit-test-32", "epochs": 8, "batch_size": 16, "learning_rate": 0.01, "threads": 1},
    **{"audit_images": 0, "explain": False},
    **{"precision": "32-true", "checkpoint_minutes": 0.002},  # a checkpoint every tenth of a second
}
TIMES = {"seconds", "images_per_second"}
GONE_ON = re.compile(r"going on where a run was cut: epoch \d+ of 8")


class Training:
    """A `secondread train` that runs."""

    def __init__(self, dataset: DatasetVersion, output: Path, *, before: str = "", **settings: object) -> None:
        chosen = [f"--set=train.{name}={json.dumps(value)}" for name, value in {**SETTINGS, **settings}.items()]
        begin = f"{before}from secondread.cli.main import main; main()"
        command = [sys.executable, "-c", begin, "train", "--data", str(dataset.root), "--output", str(output)]
        environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        self.process = psutil.Popen(
            [*command, *chosen],
            env={**environment, "SECONDREAD_HOME": str(output.parent / "home")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []

    def wait_for_epoch(self, number: int) -> None:
        """Read what it says until that epoch is over."""
        self.wait_for(f": epoch {number} of ")

    def wait_for(self, words: str) -> None:
        """Read what it says until a line has these words."""
        for line in self.process.stderr:
            self.lines.append(line)
            if words in line:
                return
        raise AssertionError("".join(self.lines))

    def end(self) -> int:
        """Read the rest; gives the exit code."""
        with self.process.stderr as rest:
            self.lines += rest
        return int(self.process.wait())

    def kill(self) -> None:
        """End it as the kernel does when memory runs out, and wait for what it has started."""
        started = self.process.children(recursive=True)
        self.process.kill()
        self.end()
        assert not psutil.wait_procs(started, timeout=60)[1]


def made(output: Path) -> tuple[dict[str, bytes], dict[str, object]]:
    """Weights and figures of a model folder, times left out."""
    weights = {name: tensor.numpy().tobytes() for name, tensor in load_file(output / "model.safetensors").items()}
    metrics = json.loads((output / "metrics.json").read_text())
    return weights, {name: value for name, value in metrics.items() if name not in TIMES}


def test_a_training_that_was_killed_goes_on_to_the_same_bits(dataset: DatasetVersion, tmp_path: Path) -> None:
    train(dataset, tmp_path / "whole", TrainConfig(**SETTINGS))  # type: ignore[arg-type]
    killed = Training(dataset, tmp_path / "model")
    killed.wait_for_epoch(3)
    killed.kill()
    assert not (tmp_path / "model").exists()
    second = Training(dataset, tmp_path / "model")
    assert second.end() == 0
    assert GONE_ON.search("".join(second.lines))
    assert made(tmp_path / "model") == made(tmp_path / "whole")


def test_one_that_is_asked_to_end_after_its_last_step_says_so_and_goes_on(
    dataset: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = """
import sys, threading
import secondread.training.train as module
def export(*_):
    print("exporting", file=sys.stderr, flush=True)
    threading.Event().wait(60)
module.export_onnx = export
"""
    asked = Training(dataset, tmp_path / "model", before=waiting, epochs=2)
    asked.wait_for("exporting")
    asked.process.terminate()
    assert asked.end() == 3
    said = "error: training was stopped by SIGTERM. The same command, run again, goes on from what is done.\n"
    assert asked.lines[-1] == said
    assert "Traceback" not in "".join(asked.lines)

    client = MlflowClient(f"sqlite:///{tmp_path}/home/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("secondread")
    assert experiment is not None
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["KILLED"]

    monkeypatch.setattr(Classifier, "training_step", lambda *_: pytest.fail("no step is done again"))
    config = TrainConfig(**{**SETTINGS, "epochs": 2})  # type: ignore[arg-type]
    assert train(dataset, tmp_path / "model", config).metrics["epochs"] == 2


@pytest.mark.full
def test_so_does_one_by_the_default_recipe_on_all_processors(tmp_path: Path) -> None:
    """Preset, batches, precision and threads as they come, on 240 phantom films of 64 pixels."""
    defaults = {name: getattr(TrainConfig(), name) for name in SETTINGS}
    short = {**defaults, "epochs": 4, "checkpoint_minutes": SETTINGS["checkpoint_minutes"]}
    ingest(IngestConfig("phantom://cxr?images=240&size=64"), tmp_path / "films")
    phantoms = write_dataset_version(tmp_path / "films", tmp_path / "dataset", PreprocessConfig(image_size=64))
    whole = train(phantoms, tmp_path / "whole", TrainConfig(**short))
    assert whole.model.config.architecture["dim"] == PRESETS[preset_for(64)].dim
    killed = Training(phantoms, tmp_path / "model", **short)
    killed.wait_for_epoch(2)
    killed.kill()
    second = Training(phantoms, tmp_path / "model", **short)
    assert second.end() == 0
    assert re.search(r"going on where a run was cut: epoch \d of 4", "".join(second.lines))
    assert made(tmp_path / "model") == made(tmp_path / "whole")


@pytest.mark.full
def test_two_processes_outlive_the_end_of_their_parent_and_of_one_of_them(
    dataset: DatasetVersion, tmp_path: Path
) -> None:
    recipe = {"strategy": "ddp", "processes": 2}
    train(dataset, tmp_path / "whole", TrainConfig(**SETTINGS, **recipe))  # type: ignore[arg-type]
    killed = Training(dataset, tmp_path / "model", **recipe)
    killed.wait_for_epoch(2)
    killed.kill()
    second = Training(dataset, tmp_path / "model", **recipe)
    second.wait_for_epoch(6)
    workers = [child for child in second.process.children(recursive=True) if "strategies.worker" in child.cmdline()[-2]]
    workers[-1].kill()
    assert second.end() == 0
    said = "".join(second.lines)
    assert "a training process was killed (SIGKILL). All are started again (1 of 2)" in said
    assert len(GONE_ON.findall(said)) == 2
    assert made(tmp_path / "model") == made(tmp_path / "whole")


@pytest.mark.full
@pytest.mark.parametrize("strategy", ["single", "ddp", "fsdp"])
def test_a_training_that_is_asked_to_end_says_in_one_line_how_to_go_on(
    dataset: DatasetVersion, tmp_path: Path, strategy: str
) -> None:
    train(dataset, tmp_path / "whole", TrainConfig(**SETTINGS, strategy=strategy))  # type: ignore[arg-type]
    asked = Training(dataset, tmp_path / "model", strategy=strategy)
    asked.wait_for_epoch(3)
    asked.process.terminate()
    assert asked.end() == 3
    assert re.fullmatch(r"error: training was stopped (in|after) epoch \d+.* by SIGTERM\..*\n", asked.lines[-1])
    assert "Traceback" not in "".join(asked.lines)
    second = Training(dataset, tmp_path / "model", strategy=strategy)
    assert second.end() == 0
    assert GONE_ON.search("".join(second.lines))
    assert made(tmp_path / "model") == made(tmp_path / "whole")
