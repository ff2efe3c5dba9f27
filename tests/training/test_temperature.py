"""The temperature is the best one, by an independent optimiser, and undoes a known distortion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secondread.training.temperature import MAX_TEMPERATURE, fit_temperature


def honest(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the true chance of each class, and labels drawn from it."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (images, classes))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(classes, p=row) for row in chances])
    return logits, labels


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_a_known_distortion_is_undone(factor: float) -> None:
    logits, labels = honest(20_000, 4)
    assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.05)


def test_it_is_what_lbfgs_finds() -> None:
    logits, labels = honest(300, 5, seed=3)
    logits = logits * 2.5 + np.random.default_rng(1).normal(0, 1, logits.shape)
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], lr=0.1, max_iter=500, tolerance_grad=1e-10)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        scaled = torch.from_numpy(logits) / log_temperature.exp()
        targets = torch.full(logits.shape, 1 / (302 * 4), dtype=torch.float64)
        targets[torch.arange(300), torch.from_numpy(labels)] = 301 / 302
        loss = torch.nn.functional.cross_entropy(scaled, targets)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert fit_temperature(logits, labels) == pytest.approx(float(log_temperature.detach().exp()), rel=1e-3)


def test_it_is_guos_where_images_are_many_and_mistakes_are_made() -> None:
    logits, labels = honest(2_000, 5, seed=4)
    grid = np.exp(np.linspace(-1, 1, 2001))
    losses = []
    for temperature in grid:
        chances = np.exp(logits / temperature)
        chances /= chances.sum(axis=1, keepdims=True)
        losses.append(-np.log(chances[np.arange(2_000), labels]).mean())
    assert fit_temperature(logits, labels) == pytest.approx(grid[np.argmin(losses)], rel=0.01)


def test_a_split_without_a_mistake_gives_no_more_certainty_than_it_can() -> None:
    """After 100 right answers out of 100 one may believe 101 / 102, whatever the logits were."""
    labels = np.arange(100) % 2
    for size in (0.5, 10.0):
        logits = size * np.eye(2)[labels]
        scaled = np.exp(logits / fit_temperature(logits, labels))
        confidence = scaled.max(axis=1) / scaled.sum(axis=1)
        np.testing.assert_allclose(confidence, 101 / 102, rtol=1e-3)


def test_it_stays_in_bounds_where_every_answer_is_wrong() -> None:
    logits = np.eye(3)[[0, 1, 2]] * 2
    assert fit_temperature(logits, np.array([1, 2, 0])) == pytest.approx(MAX_TEMPERATURE, rel=0.01)
