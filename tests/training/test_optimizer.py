"""The rate over a training, and what decays."""

from __future__ import annotations

import pytest
import torch

from secondread.model.vit import PRESETS, ViT
from secondread.training.optimizer import adamw


def test_the_rate_rises_then_falls_along_half_a_cosine() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    parts = adamw([("weight", weight)], learning_rate=0.5, weight_decay=0, steps=100, warmup_share=0.1)
    optimizer, schedule = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
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
    parts = adamw(model.named_parameters(), learning_rate=1e-3, weight_decay=0.05, steps=100, warmup_share=0.1)
    decayed, free = parts["optimizer"].param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert decayed["weight_decay"] == 0.05
    assert free["weight_decay"] == 0
    assert {"positions", "cls"} <= {names[id(parameter)] for parameter in free["params"]}
    assert all(names[id(parameter)].endswith("weight") for parameter in decayed["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(names)
