"""Loss, class weights and learning rate, against torch's own and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from secondread.config.train import TrainConfig
from secondread.model.vit import PRESETS, ViT
from secondread.training.module import _parameter_groups, _warmup_cosine, class_weights, smoothed_cross_entropy


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


def test_the_rate_rises_then_falls_along_half_a_cosine() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = _warmup_cosine(optimizer, 100, 0.1)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:10] == pytest.approx([0.05 * step for step in range(1, 11)])
    assert max(rates) == 0.5
    assert rates[55] == pytest.approx(0.25, abs=0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.005


def test_only_matrices_and_kernels_decay() -> None:
    model = ViT(PRESETS["vit-test-32"])
    decayed, free = _parameter_groups(model, 0.05)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert decayed["weight_decay"] == 0.05
    assert free["weight_decay"] == 0
    assert {"positions", "cls"} <= {names[id(parameter)] for parameter in free["params"]}
    assert all(names[id(parameter)].endswith("weight") for parameter in decayed["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(names)


def test_defaults_are_valid_and_nonsense_is_refused() -> None:
    from secondread.errors import InputError

    TrainConfig()
    for settings in ({"batch_size": 0}, {"strategy": "horovod"}, {"erase_share": 1.5}, {"learning_rate": -1.0}):
        with pytest.raises(InputError):
            TrainConfig(**settings)  # type: ignore[arg-type]
