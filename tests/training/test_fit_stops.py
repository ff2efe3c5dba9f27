"""What ends a training, and what it says then: no number for a loss, too little memory, classes not to be learned."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch

from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DatasetVersion, SplitData
from secondread.errors import DependencyError, InputError
from secondread.training.batches import Share, TrainOrder
from secondread.training.fit import Fitted, fit
from secondread.training.module import Classifier, smoothed_cross_entropy


def train_alone(dataset: DatasetVersion, config: TrainConfig) -> Fitted:
    return fit(dataset, config, share=Share(), tracker=None)


def images_of(dataset: DatasetVersion, config: TrainConfig, epoch: int, step: int) -> list[str]:
    """Of a batch; both counted from 0."""
    train = dataset.split("train")
    order = TrainOrder(len(train.labels), batch_size=config.batch_size, seed=config.seed, share=Share())
    named: list[str] = train.rows["image_id"].iloc[order.batch(epoch, step)].tolist()
    return named


def test_a_loss_that_is_no_number_stops_and_names_the_batch(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig]
) -> None:
    message = r"is (nan|inf) in epoch (\d+), step (\d+)\. Lower learning_rate \(now 1e\+18\), .* of the batch: (.*)\."
    config = quick(learning_rate=1e18, precision="32-true", warmup_share=0.0)
    with pytest.raises(InputError, match=message) as raised:
        train_alone(dataset, config)
    _, epoch, step, named = re.search(message, str(raised.value)).groups()
    assert int(epoch) == 1
    assert int(step) > 1  # the first one is what ruined the weights
    assert named.split(", ") == images_of(dataset, config, int(epoch) - 1, int(step) - 1)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_batch_whose_loss_is_a_number_and_whose_gradient_is_none_is_named_itself(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    config = quick(accumulate=accumulate)
    steps = len(dataset.split("train").labels) // config.batch_size
    losses = count()

    def poisoned(logits: torch.Tensor, *others: Any) -> torch.Tensor:
        loss = smoothed_cross_entropy(logits, *others)
        first_part = next(losses) == (steps + 4) * accumulate  # of the fifth step of the second epoch
        return loss + (0 * logits.sum()).sqrt() if first_part else loss  # adds 0, which has no slope

    monkeypatch.setattr("secondread.training.module.smoothed_cross_entropy", poisoned)
    named = ", ".join(images_of(dataset, config, 1, 4))
    message = (
        rf"the norm of the gradient is nan in epoch 2, step 5\. Lower .* look at the images of the batch: {named}\."
    )
    with pytest.raises(InputError, match=message):
        train_alone(dataset, config)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_too_little_memory_says_what_to_set(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(Classifier, "training_step", full)
    with pytest.raises(DependencyError, match=r"8 images a step.*train\.accumulate=2 .*train\.batch_size=4"):
        train_alone(dataset, quick())


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"batch_size": 64, "accumulate": 4}, r"Set train\.accumulate=8 .*, or train\.batch_size=32\.$"),
        (
            {"batch_size": 66, "strategy": "ddp", "accumulate": 8},
            r"Set train\.accumulate=16 .*, or train\.batch_size=33\.$",
        ),
        ({"batch_size": 3}, r"Set train\.batch_size=2\.$"),  # in two parts, one would be of one image
        (
            {"batch_size": 64, "strategy": "ddp", "accumulate": 16},
            r"smaller images, with a smaller preset or more memory",
        ),
        ({"batch_size": 2}, r"smaller images, with a smaller preset or more memory"),
    ],
)
def test_what_it_says_to_set_may_be_set(
    dataset: DatasetVersion,
    quick: Callable[..., TrainConfig],
    monkeypatch: pytest.MonkeyPatch,
    settings: Mapping[str, Any],
    advice: str,
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Classifier, "training_step", full)
    config = quick(**settings)
    with pytest.raises(DependencyError, match=advice) as told:
        train_alone(dataset, config)
    for name, value in re.findall(r"train\.(\w+)=(\d+)", str(told.value)):
        replace(config, **{name: int(value)})


def test_classes_that_cannot_be_learned_are_refused(
    dataset: DatasetVersion, quick: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = dataset.split("train")
    kept = whole.labels != 1
    few = SplitData(np.asarray(whole.images)[kept], whole.labels[kept], whole.rows[kept])
    with monkeypatch.context() as patch:
        patch.setattr(DatasetVersion, "split", lambda _, name: few if name == "train" else whole)
        with pytest.raises(InputError, match=r"class 'cxr-dark' has no image in the train split of .*Add images of it"):
            train_alone(dataset, quick())
    alone = replace(dataset, taxonomy=replace(dataset.taxonomy, classes=dataset.taxonomy.classes[:1]))
    monkeypatch.setattr(DatasetVersion, "split", lambda *_: few)
    with pytest.raises(InputError, match=r"has one class only \(cxr-bright\), so there is nothing to tell apart"):
        train_alone(alone, quick())
