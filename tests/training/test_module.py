"""Loss and class weights, against torch's own and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from secondread.config.train import TrainConfig
from secondread.training.module import class_weights, smoothed_cross_entropy


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(32, 5, generator=torch.Generator().manual_seed(0)) * 3


def test_the_loss_is_torchs_with_label_smoothing(logits: torch.Tensor) -> None:
    labels = torch.arange(32) % 5
    ours = smoothed_cross_entropy(logits, functional.one_hot(labels, 5).float(), torch.ones(5), 0.1)
    torch.testing.assert_close(ours, functional.cross_entropy(logits, labels, label_smoothing=0.1))


def test_the_loss_is_torchs_with_class_weights(logits: torch.Tensor) -> None:
    labels, weights = torch.arange(32) % 5, torch.tensor([0.5, 1.0, 2.0, 3.0, 0.1])
    ours = smoothed_cross_entropy(logits, functional.one_hot(labels, 5).float(), weights, 0.0)
    each = functional.cross_entropy(logits, labels, reduction="none") * weights[labels]
    torch.testing.assert_close(ours, each.mean())


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_class_weights_favour_rare_classes_and_average_to_one_over_the_images(exponent: float) -> None:
    labels = np.repeat([0, 1, 2], [100, 25, 4])
    weights = class_weights(labels, classes=3, exponent=exponent).numpy()
    assert weights[labels].mean() == pytest.approx(1)
    assert weights[2] / weights[0] == pytest.approx(25**exponent)


def test_defaults_are_valid_and_nonsense_is_refused() -> None:
    from secondread.errors import InputError

    TrainConfig()
    for settings in ({"batch_size": 0}, {"strategy": "horovod"}, {"erase_share": 1.5}, {"learning_rate": -1.0}):
        with pytest.raises(InputError):
            TrainConfig(**settings)  # type: ignore[arg-type]
