"""The score is the stranger of two answers, each 0 for a usual image and 1 for a strange one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secondread.model.out_of_distribution import Axes, Probe, Scale, Strangeness


@pytest.fixture
def strangeness() -> Strangeness:
    """Four features: images differ along the first, the others are always 2; the probe looks at the last."""
    axes = Axes(
        mean=np.float32([0, 2, 2, 2]), spread=np.float32([1, 1, 1, 2]), directions=np.float32([[1], [0], [0], [0]])
    )
    probe = Probe(weights=np.float32([0, 0, 0, 3]), bias=-1.0)
    return Strangeness(axes, probe, Scale(usual=np.float32([0, -1]), strange=np.float32([0.5, 3])))


def test_what_training_images_differ_in_is_not_strange(strangeness: Strangeness) -> None:
    description = torch.tensor([[-40.0, 2, 2, 2], [0, 2, 2, 2], [40, 2, 2, 2]])
    torch.testing.assert_close(strangeness(description), torch.zeros(3))


def test_what_they_do_not_differ_in_is(strangeness: Strangeness) -> None:
    description = torch.tensor([[7.0, 3, 2, 2], [7, 2, 4, 2]])
    residual = strangeness.answers(description)[:, 0]
    torch.testing.assert_close(residual, torch.tensor([0.5, 1.0]))  # root of the mean over four features
    torch.testing.assert_close(strangeness(description), torch.tensor([1.0, 2.0]))


def test_the_stranger_of_both_answers_counts(strangeness: Strangeness) -> None:
    description = torch.tensor([[0.0, 2, 2, 4]])  # one spread more: a residual of 0.5, and log-odds of 3 - 1
    torch.testing.assert_close(strangeness.answers(description), torch.tensor([[0.5, 2.0]]))
    torch.testing.assert_close(strangeness(description), torch.tensor([1.0]))
    torch.testing.assert_close(strangeness(torch.tensor([[0.0, 2, 2, 10]])), torch.tensor([4.0]))
