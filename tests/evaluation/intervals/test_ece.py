"""The calibration error's interval holds the truth where percentiles do not, by simulation."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from secondread.evaluation.intervals.bootstrap import calibration_intervals, resampled
from secondread.evaluation.intervals.bounds import percentile
from secondread.evaluation.intervals.ece import ece_if_calibrated, gaps_if_calibrated
from secondread.evaluation.metrics.by_name import measure_calibration
from secondread.evaluation.metrics.calibration import ece

TRIALS = 60
# At least 95 in 100 have to hold the truth; of 60 fewer than 53 do by chance in one of 100 simulations of just 95 %.
ENOUGH = 53


@dataclass(frozen=True)
class World:
    """Patients with two images each, and a model that states the true odds to some power.

    Attributes:
        images: in a set.
        power: that the true odds are raised to; 1: calibrated, above: too sure.
        clarity: spread of the true logits; high where nearly all images are plain.
    """

    images: int
    power: float
    clarity: float = 1.5

    def draw(self, rng: np.random.Generator, images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stated probabilities, labels, and the true probability that the answer is right."""
        logits = np.repeat(rng.normal(size=(images // 2, 3)) * self.clarity, 2, axis=0)
        odds = np.exp(logits)
        true = odds / odds.sum(axis=1, keepdims=True)
        chance = np.repeat(rng.random(images // 2), 2)  # images of a patient are right or wrong together
        labels = (chance[:, None] > true.cumsum(axis=1)).sum(axis=1).clip(0, 2)
        stated = odds**self.power
        right = true[np.arange(images), logits.argmax(axis=1)]
        return stated / stated.sum(axis=1, keepdims=True), labels, right

    def true_error(self) -> float:
        """Calibration error of 150,000 images, of which the true probabilities are known."""
        stated, _, right = self.draw(np.random.default_rng(0), 150_000)
        order = np.argsort(stated.max(axis=1))
        excess = (right - stated.max(axis=1))[order]
        return float(np.abs(excess.reshape(15, -1).mean(axis=1)).mean())


def held(world: World, *, seed: int) -> tuple[int, int]:
    """How often our interval and percentiles hold the truth."""
    rng, truth, groups = np.random.default_rng(seed), world.true_error(), np.arange(world.images) // 2
    ours = plain = 0
    for trial in range(TRIALS):
        stated, labels, _ = world.draw(rng, world.images)
        found = calibration_intervals(stated, labels, groups, resamples=120, seed=trial)["ece"]
        ours += found.low <= truth <= found.high
        drawn = resampled(
            lambda weights, p=stated, y=labels: measure_calibration(p, y, weights)[0], groups, resamples=120, seed=trial
        )
        naive = percentile(drawn["ece"], 0.95)
        plain += naive.low <= truth <= naive.high
    return ours, plain


@pytest.mark.parametrize(
    "world",
    [
        World(160, power=1.0),
        World(600, power=1.0),
        World(160, power=1.0, clarity=6.0),
        World(160, power=3.0, clarity=5.0),
        World(300, power=1.3),
        World(600, power=2.0),
        World(300, power=0.5),
    ],
    ids=str,
)
def test_the_interval_holds_the_true_error_at_least_as_often_as_it_says(world: World) -> None:
    assert held(world, seed=1)[0] >= ENOUGH


def test_percentiles_of_resampled_errors_would_not() -> None:
    assert held(World(300, power=1.1), seed=2)[1] < TRIALS / 2


def test_a_calibrated_models_error_lies_where_such_a_model_would_show_it() -> None:
    rng, inside = np.random.default_rng(3), 0
    for trial in range(200):
        stated = rng.dirichlet([4, 1, 1], 160)
        labels = (rng.random(160)[:, None] > stated.cumsum(axis=1)).sum(axis=1).clip(0, 2)
        likely = ece_if_calibrated(gaps_if_calibrated(stated, draws=120, seed=trial), level=0.95)
        inside += likely.low <= ece(stated, labels) <= likely.high
    assert 0.90 <= inside / 200 <= 0.99


def test_160_images_cannot_prove_an_error_of_3_points_and_20000_can() -> None:
    few, many = (
        ece_if_calibrated(
            gaps_if_calibrated(np.random.default_rng(4).dirichlet([4, 1, 1], images), draws=100, seed=0), level=0.95
        )
        for images in (160, 20_000)
    )
    assert few.low > 0.03
    assert many.high < 0.03


def test_the_interval_holds_what_was_measured_and_stays_within_0_and_1() -> None:
    for seed in range(5):
        stated, labels, _ = World(40, power=3.0).draw(np.random.default_rng(seed), 40)
        found = calibration_intervals(stated, labels, np.arange(40), resamples=100)["ece"]
        assert 0 <= found.low <= ece(stated, labels) <= found.high <= 1


def test_no_mistake_in_160_images_is_no_proof_of_perfect_confidence() -> None:
    """Every resample of it is alike; a model that is right 99 times in 100 would show the same as often as not."""
    stated, labels = np.tile([[0.99, 0.01]], (160, 1)), np.zeros(160, dtype=int)
    found = calibration_intervals(stated, labels, np.arange(160), resamples=200)["ece"]
    assert found.low == 0
    assert found.high > 0.02


def test_one_patient_gives_no_interval() -> None:
    stated, labels, _ = World(20, power=1.0).draw(np.random.default_rng(0), 20)
    found = calibration_intervals(stated, labels, np.zeros(20), resamples=100)
    assert all(math.isnan(bounds.low) for bounds in found.values())


def test_drawing_labels_in_parts_to_save_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = np.random.default_rng(5).dirichlet([1, 1, 1], 50)
    whole = gaps_if_calibrated(stated, draws=30, seed=0)
    monkeypatch.setattr("secondread.evaluation.intervals.ece._ANSWERS_AT_ONCE", 7 * 50)
    np.testing.assert_array_equal(gaps_if_calibrated(stated, draws=30, seed=0), whole)
