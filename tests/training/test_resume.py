"""A training that was cut goes on from its last checkpoint and comes to the same weights, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion
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


RECIPES = {
    "plain": {},
    "all at once": {"mixup_alpha": 0.2, "ema_decay": 0.9, "accumulate": 2, "precision": "bf16-mixed"},
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("epoch", "step"), [(0, 3), (1, 0), (1, 13), (2, 5)])
def test_a_run_that_was_cut_comes_to_the_same_bits(
    dataset: DatasetVersion, quick: Quick, tmp_path: Path, recipe: str, epoch: int, step: int
) -> None:
    config = quick(epochs=3, checkpoint_minutes=1e-9, **RECIPES[recipe])
    whole = run(dataset, config, None)
    with pytest.raises(KeyError, match="cut"):
        run(dataset, config, tmp_path, Cut(epoch, step))
    resumed = run(dataset, config, tmp_path)
    assert_same(resumed, whole)
    assert resumed.seconds > 0
