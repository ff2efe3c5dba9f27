"""A training that was cut goes on from its last checkpoint and comes to the same weights, bit for bit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
from secondread.errors import DependencyError, StoppedError
from secondread.training import resume, stop
from secondread.training.batches import Share
from secondread.training.fit import Fitted, fit
from secondread.training.trainer import TrainerParts

Quick = Callable[..., TrainConfig]


class Cut(Callback):
    """Breaks a training off after a step of an epoch, both counted from 0, as a kill would."""

    def __init__(self, epoch: int, step: int) -> None:
        self._at = (epoch, step)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        if (trainer.current_epoch, trainer.fit_loop.batch_idx) == self._at:
            raise KeyError("cut")


def run(dataset: DatasetVersion, config: TrainConfig, work: Path | None, *callbacks: Callback) -> Fitted:
    parts = TrainerParts(accelerator="cpu", callbacks=callbacks)
    return fit(dataset, config, share=Share(), tracker=None, work=work, parts=parts)


def assert_same(one: Fitted, other: Fitted) -> None:
    assert one.best_epoch == other.best_epoch
    assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)
    for a, b in zip(one.epochs, other.epochs, strict=True):
        assert (a.train_loss, a.val_loss, a.val_accuracy) == (b.train_loss, b.val_loss, b.val_accuracy)
        assert (a.learning_rate, a.val_confusion) == (b.learning_rate, b.val_confusion)


CUTS = {
    "in the first epoch": ((0, 3), {}),
    "in a later epoch": ((2, 5), {}),
    "after the first step of an epoch": ((1, 0), {"mixup_alpha": 0.2, "ema_decay": 0.9, "accumulate": 2}),
    "before the last step of an epoch": ((1, 12), {"mixup_alpha": 0.2, "precision": "bf16-mixed"}),
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_run_that_was_cut_comes_to_the_same_bits(
    dataset: DatasetVersion, quick: Quick, tmp_path: Path, cut: str
) -> None:
    place, recipe = CUTS[cut]
    config = quick(epochs=3, checkpoint_minutes=1e-9, **recipe)
    whole = run(dataset, config, None)
    with pytest.raises(KeyError, match="cut"):
        run(dataset, config, tmp_path, Cut(*place))
    resumed = run(dataset, config, tmp_path)
    assert_same(resumed, whole)
    again = run(dataset, config, tmp_path)  # there is nothing left to do
    assert_same(again, whole)
    assert again.seconds == pytest.approx(resumed.seconds, abs=1.0)


class Look(Callback):
    """Sees what a training computes with."""

    def __init__(self) -> None:
        self.seen: set[tuple[int, str]] = set()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        self.seen.add((torch.get_num_threads(), str(trainer.precision)))


def test_a_run_goes_on_with_threads_and_precision_as_it_began_whatever_the_machine_has_then(
    dataset: DatasetVersion, quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def machine(*, cpus: int, bf16: bool) -> None:
        monkeypatch.setattr("secondread.training.fit.cpu_limit", lambda: cpus)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": bf16})

    config, look = quick(epochs=2, threads=0, precision="auto", checkpoint_minutes=1e-9), Look()
    machine(cpus=1, bf16=False)
    whole = run(dataset, config, None)
    with pytest.raises(KeyError, match="cut"):
        run(dataset, config, tmp_path, Cut(0, 5))
    machine(cpus=2, bf16=True)
    assert_same(run(dataset, config, tmp_path, look), whole)
    assert look.seen == {(1, "32-true")}


class Send(Callback):
    """Sends this process a signal in a step of an epoch, both counted from 0."""

    def __init__(self, number: signal.Signals, epoch: int, step: int) -> None:
        self._number = number
        self._at = (epoch, step)

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: object) -> None:
        if (trainer.current_epoch, trainer.fit_loop.batch_idx) == self._at:
            os.kill(os.getpid(), self._number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_asked_to_end_finishes_its_step_and_goes_on_later(
    dataset: DatasetVersion, quick: Quick, tmp_path: Path, number: signal.Signals
) -> None:
    config = quick(epochs=2)
    before = [signal.getsignal(heard) for heard in (signal.SIGTERM, signal.SIGINT)]
    message = rf"stopped in epoch 2 after step 6 by {number.name}\. The same command, run again, goes on from there"
    with pytest.raises(StoppedError, match=message):
        run(dataset, config, tmp_path, Send(number, 1, 5))
    assert [signal.getsignal(heard) for heard in (signal.SIGTERM, signal.SIGINT)] == before
    assert_same(run(dataset, config, tmp_path), run(dataset, config, None))


def test_where_no_signal_comes_a_file_asks_for_the_same(
    dataset: DatasetVersion, quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "_LOOK_SECONDS", 0.0)
    config = quick(epochs=2)
    asks = tmp_path / "checkpoints" / "stop"
    asks.parent.mkdir()
    asks.write_text("SIGTERM")
    with pytest.raises(StoppedError, match=r"stopped in epoch 1 after step 1 by SIGTERM\. The same command"):
        run(dataset, config, tmp_path)
    asks.unlink()
    assert_same(run(dataset, config, tmp_path), run(dataset, config, None))


def test_an_end_that_was_decided_stays_decided(dataset: DatasetVersion, quick: Quick, tmp_path: Path) -> None:
    config = quick(epochs=40, early_stopping_epochs=1, learning_rate=1.0)  # too high: it gets worse soon
    whole = run(dataset, config, tmp_path)
    assert len(whole.epochs) == whole.best_epoch + 1 < 40
    assert_same(run(dataset, config, tmp_path), whole)


def test_processes_that_would_go_on_from_different_checkpoints_do_not_train(
    dataset: DatasetVersion, quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a volume that shows one machine an older listing of a folder than another."""
    monkeypatch.setattr(resume, "_of_all", lambda *_: torch.tensor([[3.0, 0.0], [2.0, 5.0]]))
    with pytest.raises(DependencyError, match=r"do not see the same checkpoint \(epochs/steps done: 3/0, 2/5\)"):
        run(dataset, quick(epochs=1), tmp_path)
