"""What MLflow has of a training, also of one that was killed and run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image
from safetensors.torch import load_file

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError
from secondread.tracking.runs import TrackingConfig
from secondread.tracking.training_run import complete
from secondread.training.batches import Share
from secondread.training.fit import fit
from secondread.training.train import train

SCRIPT = """
import json, sys
from pathlib import Path
from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.logging import configure
from secondread.tracking.runs import TrackingConfig
from secondread.training.train import train
configure()
data, output, config, uri = sys.argv[1:]
train(DatasetVersion.open(data), Path(output), TrainConfig(**json.loads(config)), tracking=TrackingConfig(uri, "x", {}))
"""


def test_a_trainer_that_is_killed_goes_on_as_the_same_run(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], mlflow_uri: str, tmp_path: Path
) -> None:
    config, uri = quick(epochs=8), mlflow_uri
    words = [str(dataset.root), str(tmp_path / "model"), json.dumps(asdict(config)), uri]
    killed = subprocess.Popen([sys.executable, "-c", SCRIPT, *words], stderr=subprocess.PIPE, text=True)
    assert killed.stderr is not None
    told = []
    for line in killed.stderr:
        told.append(line)
        if "epoch 3 of 8" in line:
            os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, "".join(told)
    killed.stderr.close()
    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'x'")
    (first,) = client.search_runs([experiment.experiment_id])
    assert first.info.status == "RUNNING"

    result = train(dataset, tmp_path / "model", config, tracking=TrackingConfig(uri, "x", {}))
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_id, run.info.status) == (first.info.run_id, "FINISHED")
    assert result.run_id == first.info.run_id
    whole = fit(dataset, config, share=Share(), tracker=None)
    for name in ("train_loss", "val_loss", "val_accuracy", "learning_rate"):
        points = client.get_metric_history(result.run_id, name)
        assert [point.step for point in points] == list(range(1, 9)), name
        assert [point.value for point in points] == [getattr(epoch, name) for epoch in whole.epochs], name

    (tmp_path / "kept").mkdir()
    kept = Path(client.download_artifacts(result.run_id, "", str(tmp_path / "kept")))
    assert json.loads((kept / "train-config.json").read_text()) == asdict(config)
    assert "# libraries" in (kept / "gpu-info.txt").read_text()
    best = load_file(kept / "model" / "model.safetensors")
    last = load_file(kept / "checkpoints" / "last.safetensors")
    assert {name: tensor.shape for name, tensor in last.items()} == {
        name: tensor.shape for name, tensor in best.items()
    }
    assert not [path for path in kept.rglob("*") if path.suffix in (".pt", ".pkl", ".ckpt", ".pth")]
    if result.metrics["accuracy"] < 1:  # type: ignore[operator]
        assert Image.open(kept / "misread-val.png").format == "PNG"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "mlflow", "kept"}


@pytest.fixture
def killed(
    dataset: DatasetVersion,
    quick: Callable[..., TrainConfig],
    killed_at: Callable[[str], AbstractContextManager[None]],
    mlflow_uri: str,
    tmp_path: Path,
) -> tuple[TrainConfig, TrackingConfig]:
    """A training that was killed after its first epoch; MLflow was told nothing of its end."""
    config, tracking = quick(epochs=2), TrackingConfig(mlflow_uri, "x", {})
    with killed_at("secondread.training.fit.Checkpoints.on_train_epoch_end"):
        train(dataset, tmp_path / "model", config, tracking=tracking)
    return config, tracking


def statuses(uri: str) -> list[str]:
    """Of all runs, the last one first."""
    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'x'")
    return [run.info.status for run in client.search_runs([experiment.experiment_id])]


def test_a_training_that_begins_anew_ends_the_run_that_was_cut(
    dataset: DatasetVersion, killed: tuple[TrainConfig, TrackingConfig], tmp_path: Path
) -> None:
    config, tracking = killed
    assert statuses(tracking.uri) == ["RUNNING"]
    train(dataset, tmp_path / "model", config, tracking=tracking, resume=False)
    assert statuses(tracking.uri) == ["FINISHED", "KILLED"]
    assert {path.name for path in tmp_path.iterdir()} <= {"model", "mlflow"}


def test_so_does_one_by_another_recipe_which_cannot_go_on_with_it(
    dataset: DatasetVersion,
    quick: Callable[..., TrainConfig],
    killed: tuple[TrainConfig, TrackingConfig],
    tmp_path: Path,
) -> None:
    _, tracking = killed
    train(dataset, tmp_path / "model", quick(epochs=1), tracking=tracking)
    assert statuses(tracking.uri) == ["FINISHED", "KILLED"]
    assert {path.name for path in tmp_path.iterdir()} <= {"model", "mlflow"}


def test_where_mlflow_is_not_asked_the_record_of_the_run_that_was_cut_is_kept(
    dataset: DatasetVersion, killed: tuple[TrainConfig, TrackingConfig], tmp_path: Path
) -> None:
    config, tracking = killed
    train(dataset, tmp_path / "model", config, resume=False)
    (left,) = tmp_path.glob("model.tracking-*")
    assert complete(left, tracking.uri).ended
    assert statuses(tracking.uri) == ["KILLED"]


def test_a_wrong_address_ends_the_run_before_it_trains(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(DependencyError, match=r"MLflow at http://127\.0\.0\.1:9 does not answer") as told:
        train(dataset, tmp_path / "model", quick(), tracking=TrackingConfig("http://127.0.0.1:9", "x", {}))
    assert told.value.exit_code == 3
    assert not list(tmp_path.iterdir())
