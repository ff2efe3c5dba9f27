"""Two real processes: the same weights on both, one tracked run, and errors that come back as one sentence."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file

from secondread.atomic import read_json
from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError, InputError, IntegrityError, StoppedError
from secondread.tracking.runs import TrackingConfig
from secondread.training.batches import Share, TrainOrder
from secondread.training.fit import Fitted
from secondread.training.module import Classifier
from secondread.training.strategies import torchrun, worker
from secondread.training.strategies.job import (
    ERROR_FILE,
    JOB_FILE,
    WEIGHTS_FILE,
    Job,
    digest_file,
    error_from,
    read_fitted,
    write_fitted,
)
from secondread.training.train import TrainResult, train

RECIPE = {"processes": 2, "epochs": 3, "threads": 2, "precision": "32-true"}


@dataclass(frozen=True)
class Made:
    """By two processes under DDP: the model, where the run is tracked, what the processes were told, and the digests of
    each one's weights."""

    result: TrainResult
    uri: str
    job: str
    digests: set[str]


@pytest.fixture(scope="module")
def made(dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("ddp")
    uri = f"sqlite:///{folder}/mlflow/mlflow.db"
    seen: list[set[str]] = []
    told: list[str] = []

    def read(work: Path, *, processes: int) -> Fitted:
        assert processes == 2
        seen.append({digest_file(work, rank).read_text() for rank in range(2)})
        told.append((work / JOB_FILE).read_text())
        return read_fitted(work, processes=processes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchrun, "read_fitted", read)
        tracking = TrackingConfig(uri, "patterns", {"kind": "test"})
        result = train(dataset, folder / "model", quick(**RECIPE, strategy="ddp"), tracking=tracking)
    return Made(result, uri, told[0], seen[0])


def test_two_processes_make_one_model_and_one_run(made: Made, dataset: DatasetVersion) -> None:
    assert len(made.digests) == 1  # both processes ended with the same weights
    client, result = MlflowClient(made.uri), made.result
    (experiment,) = client.search_experiments(filter_string="name = 'patterns'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == result.run_id
    assert run.info.status == "FINISHED"
    assert run.data.params["strategy"] == "ddp"
    for key in ("train_loss", "val_loss", "val_accuracy", "learning_rate", "images_per_second"):
        assert [point.step for point in client.get_metric_history(result.run_id, key)] == [1, 2, 3]
    # each process saw its share of val: recall of each class, weighted by its images, is the accuracy over all
    images = dataset.counts["val"]
    recalled = sum(run.data.metrics[f"val_recall/{name}"] * count for name, count in images.items())
    assert run.data.metrics["val_accuracy"] == pytest.approx(recalled / sum(images.values()))
    assert run.data.metrics["served_val_auroc_macro"] == pytest.approx(result.metrics["auroc_macro"])
    artifacts = {Path(entry.path).name for entry in client.list_artifacts(result.run_id, "model")}
    assert {"fp32.onnx", "config.json", "MODEL_CARD.md"} <= artifacts


def test_the_address_of_mlflow_is_in_no_file(made: Made) -> None:
    """It may hold a password; the processes note what they have to say, and the one that started them sends it."""
    assert "mlflow" not in made.job


WITHOUT_CHANCE = {
    **dict.fromkeys(
        (
            "move_share",
            "contrast_share",
            "brightness_share",
            "sharpness_share",
            "noise_share",
            "erase_share",
            "frame_share",
            "mixup_alpha",
        ),
        0.0,
    ),
    **{"batch_size": 16, "learning_rate": 1e-3, "epochs": 1, "ema_decay": 0.0},
}
FIXED_NORMALISATION = """
import sys
from torch import nn
from secondread.training.module import Classifier
from secondread.training.strategies import worker

def fix(module):
    for layer in module.model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()

if __name__ == "__main__":
    Classifier.on_train_start = fix
    sys.exit(worker.main(sys.argv[1:]))
"""


def test_two_processes_do_the_steps_that_one_does(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole or in parts, up to the order of sums: where no process draws for itself, and normalisation is fixed."""
    (script := tmp_path / "fixed_normalisation.py").write_text(FIXED_NORMALISATION)
    real = torchrun._command
    monkeypatch.setattr(torchrun, "_command", lambda *told: [*real(*told)[:-3], str(script), str(told[0])])
    monkeypatch.setattr(Classifier, "on_train_start", runpy.run_path(str(script))["fix"], raising=False)
    weights = {}
    for name, settings in {"single": {}, "ddp": {}, "parts": {"strategy": "ddp", "accumulate": 2}}.items():
        recipe = RECIPE | WITHOUT_CHANCE | {"strategy": name} | settings
        weights[name] = load_file(train(dataset, tmp_path / name, quick(**recipe)).model.root / "model.safetensors")
    for name, tensor in weights["single"].items():
        torch.testing.assert_close(weights["ddp"][name], tensor, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(weights["parts"][name], tensor, rtol=1e-3, atol=1e-4)


POISONED = """
import os, sys
from secondread.training import module
from secondread.training.strategies import worker

real, losses = module.smoothed_cross_entropy, iter(range(1000))

def poisoned(logits, *others):
    loss = real(logits, *others)
    return loss + (0 * logits.sum()).sqrt() if next(losses) == 3 and os.environ["RANK"] == "1" else loss

if __name__ == "__main__":
    module.smoothed_cross_entropy = poisoned
    sys.exit(worker.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_gradient_that_is_no_number_is_put_down_to_the_images_of_all_processes(
    dataset: DatasetVersion,
    quick: Callable[..., TrainConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    strategy: str,
) -> None:
    """It is summed up before anybody can look at it."""
    (script := tmp_path / "poisoned.py").write_text(POISONED)
    real = torchrun._command
    monkeypatch.setattr(torchrun, "_command", lambda *told: [*real(*told)[:-3], str(script), str(told[0])])
    config = quick(**RECIPE, strategy=strategy)
    images = dataset.split("train")
    order = TrainOrder(len(images.labels), batch_size=config.batch_size, seed=config.seed, share=Share())
    named = ", ".join(images.rows["image_id"].iloc[order.batch(0, 3)])
    with pytest.raises(InputError, match=rf"norm of the gradient is nan in epoch 1, step 4\. .* the batch: {named}\."):
        train(dataset, tmp_path / "model", config)


def test_weights_that_are_spread_over_processes_become_the_model_of_ddp(
    made: Made, dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    """The same sums in another order; the folder is read and served as any other."""
    result = train(dataset, tmp_path / "model", quick(**RECIPE, strategy="fsdp"))
    weights, theirs = (load_file(each.model.root / "model.safetensors") for each in (result, made.result))
    assert weights.keys() == theirs.keys()
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-2)  # a step of AdamW
    assert result.metrics["loss"] == pytest.approx(made.result.metrics["loss"], rel=0.01)


def test_processes_that_disagree_are_caught(tmp_path: Path) -> None:
    fitted = Fitted(state={"weight": torch.ones(2)}, best_epoch=1, epochs=[], seconds=1.0)
    write_fitted(fitted, tmp_path, rank=0)
    write_fitted(fitted, tmp_path, rank=1)
    assert torch.equal(read_fitted(tmp_path, processes=2).state["weight"], torch.ones(2))
    write_fitted(replace(fitted, state={"weight": torch.zeros(2)}), tmp_path, rank=1)
    with pytest.raises(RuntimeError, match="2 different sets of weights"):
        read_fitted(tmp_path, processes=2)


def test_weights_that_changed_on_their_way_are_refused(tmp_path: Path) -> None:
    write_fitted(Fitted(state={"weight": torch.ones(2)}, best_epoch=1, epochs=[], seconds=1.0), tmp_path, rank=0)
    save_file({"weight": torch.zeros(2)}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(IntegrityError, match=r"weights\.safetensors is not what the training wrote"):
        read_fitted(tmp_path, processes=1)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"cut o")
    with pytest.raises(IntegrityError, match=r"weights\.safetensors is not what the training wrote"):
        read_fitted(tmp_path, processes=1)


def test_an_error_of_the_input_crosses_the_process_border(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the worker leaves is what the caller raises."""
    job = Job(str(dataset.root), asdict(quick(preset="nonsense")), str(tmp_path))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert worker.main([str(job.write())]) == InputError.exit_code

    def left_before(*_: object) -> tuple[int, str, str]:
        worker.main([str(tmp_path / JOB_FILE)])
        return 1, "Traceback ...", "SIGTERM"

    monkeypatch.setattr(torchrun, "_run", left_before)
    with pytest.raises(InputError, match="there is no preset 'nonsense'"):
        torchrun.fit_distributed(job)


@pytest.mark.parametrize("storage", ["", "volume"])
def test_a_disk_that_is_full_is_named_by_the_process_that_meets_it(
    dataset: DatasetVersion,
    quick: Callable[..., TrainConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    storage: str,
) -> None:
    def full(*_: object) -> None:
        Path("/dev/full").write_text("a byte")

    monkeypatch.setattr("secondread.training.checkpoint.write_checkpoint", full)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    named = str(tmp_path / storage) if storage else ""
    job = Job(str(dataset.root), asdict(quick(epochs=1, storage=named)), str(tmp_path / "work"))
    Path(job.work).mkdir()
    assert worker.main([str(job.write())]) == DependencyError.exit_code
    left = error_from(read_json(Path(job.work) / ERROR_FILE))
    assert isinstance(left, DependencyError)
    assert f"no room is left for {named or job.work}. Free space and start the run again" in str(left)


def test_only_our_own_log_lines_are_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    script = "import sys; sys.stderr.write('I secondread.training: epoch 1\\nchatter\\n'); sys.exit(3)"
    code, last_lines, _ = torchrun._run(["python3", "-c", script], {"PATH": "/usr/bin:/bin"})
    assert (code, last_lines) == (3, "chatter\n")
    assert capsys.readouterr().err == "I secondread.training: epoch 1\n"


def test_whoever_is_asked_to_end_before_the_workers_listen_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchrun, "_command", lambda *_: ["sh", "-c", "kill -TERM $PPID; exec sleep 60"])
    job = Job("data", asdict(TrainConfig(strategy="ddp")), str(tmp_path))
    with pytest.raises(StoppedError, match=r"stopped by SIGTERM before it could write a checkpoint\. The same command"):
        torchrun.run_processes(job, tmp_path / JOB_FILE)


def test_whoever_is_asked_to_end_while_the_workers_are_started_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def asked_meanwhile(*words: object, **settings: object) -> object:
        process = start(*words, **settings)  # type: ignore[call-overload]
        os.kill(os.getpid(), signal.SIGTERM)
        return process

    monkeypatch.setattr(torchrun, "_command", lambda *_: ["sleep", "60"])
    monkeypatch.setattr(torchrun.subprocess, "Popen", asked_meanwhile)
    job = Job("data", asdict(TrainConfig(strategy="ddp")), str(tmp_path))
    with pytest.raises(StoppedError, match="stopped by SIGTERM before it could write a checkpoint"):
        torchrun.run_processes(job, tmp_path / JOB_FILE)


USES_GRPC = """
import grpc, sys
from concurrent.futures import ThreadPoolExecutor
from secondread.training.strategies import torchrun
server = grpc.server(ThreadPoolExecutor(2))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
    grpc.channel_ready_future(channel).result(10)
    print([torchrun._run(["true"], {"PATH": "/usr/bin:/bin"}) for _ in range(5)])
server.stop(0).wait()
"""


def test_a_process_that_uses_grpc_can_start_a_training() -> None:
    """gRPC breaks in the fork of such a process: now and then what is started there is aborted."""
    done = subprocess.run([sys.executable, "-c", USES_GRPC], capture_output=True, text=True, check=True)
    assert done.stdout == f"{[(0, '', '')] * 5}\n"
    assert "fork" not in done.stderr


def test_what_was_started_ends_with_whoever_started_it(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    command = ["sh", "-c", f"echo $$ > {started}.part && mv {started}.part {started} && exec sleep 60"]
    script = (
        f"from secondread.training.strategies import torchrun; torchrun._run({command!r}, {{'PATH': '/usr/bin:/bin'}})"
    )
    parent = psutil.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 30
    while not started.is_file():
        assert parent.poll() is None
        assert time.monotonic() < deadline
    launched = psutil.Process(int(started.read_text()))
    parent.kill()
    parent.wait()
    assert not psutil.wait_procs([launched], timeout=10)[1]
