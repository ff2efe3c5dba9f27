"""The averaged weights, against the sum written out, and what is judged and kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from secondread.training.ema import WeightAverage


@pytest.fixture
def module() -> SimpleNamespace:
    """Stands for the classifier: one weight, and batch normalisation's mean and count."""
    model = nn.Linear(1, 1, bias=False)
    model.register_buffer("mean", torch.zeros(1))
    model.register_buffer("count", torch.tensor(0))
    return SimpleNamespace(model=model)


def put(module: SimpleNamespace, value: int) -> None:
    for tensor in module.model.state_dict().values():
        tensor.fill_(value)


def test_each_step_counts_for_less_than_the_one_after_it(module: SimpleNamespace) -> None:
    put(module, 0)
    average = WeightAverage(0.5)
    average.begin(module, steps=0)
    expected, rates = 0.0, []
    for step in range(1, 21):
        put(module, step)
        average.on_train_batch_end(None, module, None, None, 0)
        rates.append(min(0.5, (1 + step) / (10 + step)))
        expected = rates[-1] * expected + (1 - rates[-1]) * step
    assert rates[0] == pytest.approx(2 / 11)  # hardly anything of the random weights is left after some steps
    assert rates[-1] == 0.5
    assert average.tensors["weight"].item() == pytest.approx(expected)
    assert average.tensors["mean"].item() == pytest.approx(expected)
    assert average.tensors["count"].item() == 20


def test_it_goes_on_where_it_was(module: SimpleNamespace) -> None:
    put(module, 0)
    average = WeightAverage(0.99)
    average.begin(module, steps=10_000)
    put(module, 1)
    average.on_train_batch_end(None, module, None, None, 0)
    assert average.tensors["weight"].item() == pytest.approx(0.01)


def test_the_average_is_judged_and_the_weights_come_back(module: SimpleNamespace) -> None:
    put(module, 2)
    average = WeightAverage(0.9)
    average.begin(module, steps=10_000)
    put(module, 7)
    average.on_validation_start(None, module)
    assert module.model.weight.item() == 2
    average.on_validation_end(None, module)
    assert module.model.weight.item() == 7
    assert average.tensors["weight"].item() == 2
