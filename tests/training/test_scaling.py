"""The scaling is the best one, by independent optimisers, undoes a known distortion, and changes no answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from secondread.training.scaling import MAX_POWER, MAX_TEMPERATURE, MIN_TEMPERATURE, Scaling, fit_scaling


def honest(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the true chance of each class, and labels drawn from it."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (images, classes))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(classes, p=row) for row in chances])
    return logits, labels


def scaled(logits: np.ndarray, scaling: Scaling) -> np.ndarray:
    margins = (logits.max(axis=1, keepdims=True) - logits) / scaling.temperature
    chances = np.exp(-(margins**scaling.margin_power))
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("power", [0.6, 1.0, 2.0])
def test_a_known_distortion_is_undone(factor: float, power: float) -> None:
    logits, labels = honest(20_000, 4)
    margins = logits.max(axis=1, keepdims=True) - logits
    found = fit_scaling(-factor * margins ** (1 / power), labels)
    assert found.margin_power == pytest.approx(power, rel=0.05)
    assert found.temperature == pytest.approx(factor, rel=0.05)


def test_it_is_what_lbfgs_with_exact_gradients_finds() -> None:
    logits, labels = honest(300, 5, seed=3)
    logits = logits * 2.5 + np.random.default_rng(1).normal(0, 1, logits.shape)
    margins = torch.from_numpy(logits.max(axis=1, keepdims=True) - logits)
    log_temperature, log_power = (torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.LBFGS([log_temperature, log_power], lr=0.1, max_iter=500, tolerance_grad=1e-10)
    targets = torch.full(logits.shape, 1 / (302 * 4), dtype=torch.float64)
    targets[torch.arange(300), torch.from_numpy(labels)] = 301 / 302

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        inside = torch.where(margins > 0, margins, torch.ones_like(margins)) / log_temperature.exp()
        raised = torch.where(margins > 0, inside ** log_power.exp(), torch.zeros_like(margins))
        loss = torch.nn.functional.cross_entropy(-raised, targets) + log_power**2 / (2 * 0.25 * 300)
        loss.backward()
        return loss

    optimizer.step(closure)
    found = fit_scaling(logits, labels)
    assert found.temperature == pytest.approx(math.exp(log_temperature.item()), rel=1e-3)
    assert found.margin_power == pytest.approx(math.exp(log_power.item()), rel=1e-3)


def test_it_is_guos_temperature_where_a_temperature_is_all_that_is_wrong() -> None:
    logits, labels = honest(20_000, 5, seed=4)
    grid = np.exp(np.linspace(-1, 1, 401))
    losses = [-np.log(scaled(logits, Scaling(each, 1.0))[np.arange(20_000), labels]).mean() for each in grid]
    found = fit_scaling(logits, labels)
    assert found.temperature == pytest.approx(grid[np.argmin(losses)], rel=0.03)
    assert found.margin_power == pytest.approx(1, abs=0.03)


def test_what_a_temperature_cannot_mend_is_mended() -> None:
    """A network that learned from mixtures is too sure with small margins, and too modest with large ones."""
    logits, labels = honest(5_000, 4)
    modest = -((logits.max(axis=1, keepdims=True) - logits) ** 0.5)
    best = min(
        -np.log(scaled(modest, Scaling(each, 1.0))[np.arange(5_000), labels]).mean()
        for each in np.exp(np.linspace(-3, 3, 601))
    )
    said = scaled(modest, fit_scaling(modest, labels))
    assert -np.log(said[np.arange(5_000), labels]).mean() < best - 0.02
    for low in (0.4, 0.6, 0.8):
        among = (said.max(axis=1) >= low) & (said.max(axis=1) < low + 0.2)
        right = said.argmax(axis=1)[among] == labels[among]
        assert right.mean() == pytest.approx(said.max(axis=1)[among].mean(), abs=0.03)


def test_no_answer_is_changed() -> None:
    logits, labels = honest(200, 4, seed=2)
    found = scaled(logits**3, fit_scaling(logits**3, labels))
    np.testing.assert_array_equal(np.argsort(found, axis=1)[:, -2:], np.argsort(logits**3, axis=1)[:, -2:])


def test_a_few_images_bend_the_power_less_than_many() -> None:
    logits, labels = honest(5_000, 4)
    modest = -((logits.max(axis=1, keepdims=True) - logits) ** 0.5)
    few, many = (fit_scaling(modest[:count], labels[:count]).margin_power for count in (20, 5_000))
    assert 1 < few < many


def test_a_split_without_a_mistake_gives_no_more_certainty_than_it_can() -> None:
    """After 100 right answers out of 100 one may believe 101 / 102, whatever the logits were."""
    labels = np.arange(100) % 2
    for size in (0.5, 10.0):
        logits = size * np.eye(2)[labels]
        said = scaled(logits, fit_scaling(logits, labels))
        np.testing.assert_allclose(said.max(axis=1), 101 / 102, rtol=1e-3)


def test_it_stays_in_bounds_where_every_answer_is_wrong() -> None:
    logits = np.eye(3)[[0, 1, 2]] * 2
    found = fit_scaling(logits, np.array([1, 2, 0]))
    assert MIN_TEMPERATURE <= found.temperature <= MAX_TEMPERATURE * 1.0001
    assert 1 / MAX_POWER <= found.margin_power <= MAX_POWER
    assert scaled(logits, found).max() < 0.4, "nothing is known of such images"
