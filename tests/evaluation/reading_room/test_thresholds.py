"""Thresholds of single classes keep their sensitivity on images that they were not chosen on."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from secondread.evaluation.reading_room.thresholds import carried_over, choose_thresholds, fit_thresholds, reached
from secondread.model.folder import Thresholds
from secondread.model.session import Outputs


def scores(rng: np.random.Generator, images: int) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(0, 2, images)
    first = 1 / (1 + np.exp(rng.normal(2 * labels - 1, 1.5)))
    return np.stack([first, 1 - first], axis=1), labels


def test_a_further_image_is_found_with_the_chosen_probability() -> None:
    """The promise is of the mean over val sets: 400 of some 20 images each, checked on new ones."""
    rng = np.random.default_rng(0)
    fresh, truth = scores(rng, 20_000)
    found = []
    for _ in range(400):
        chosen = choose_thresholds(*scores(rng, 40), np.arange(40), ["a", "b"], sensitivity=0.8)
        found.append((fresh[truth == 1, 1] >= chosen["b"]).mean())
    assert 0.80 <= np.mean(found) <= 0.85  # at most one image in (n + 1) more than asked for


def test_the_threshold_is_the_highest_that_keeps_it() -> None:
    probabilities = np.stack([np.linspace(0.05, 0.95, 19), 1 - np.linspace(0.05, 0.95, 19)], axis=1)
    chosen = choose_thresholds(probabilities, np.zeros(19, dtype=int), np.arange(19), ["a", "b"], sensitivity=0.9)
    assert chosen == {"a": pytest.approx(0.10)}  # (19 + 1) * 0.1: the second lowest


@pytest.mark.parametrize(("images", "known"), [(8, False), (9, True)])
def test_too_few_images_promise_nothing(images: int, known: bool) -> None:
    probabilities = np.tile([[0.6, 0.4]], (images, 1))
    chosen = choose_thresholds(
        probabilities, np.zeros(images, dtype=int), np.arange(images), ["a", "b"], sensitivity=0.9
    )
    assert ("a" in chosen) is known
    assert "b" not in chosen


def test_a_patient_counts_once_with_the_lowest_of_their_images() -> None:
    """Ten images of one patient are one case, however many they are."""
    probabilities = np.stack([np.linspace(0.05, 0.95, 20), 1 - np.linspace(0.05, 0.95, 20)], axis=1)
    one = choose_thresholds(probabilities, np.zeros(20, dtype=int), np.zeros(20), ["a", "b"], sensitivity=0.9)
    assert one == {}
    pairs = choose_thresholds(probabilities, np.zeros(20, dtype=int), np.arange(20) // 2, ["a", "b"], sensitivity=0.9)
    assert pairs == {"a": pytest.approx(0.05)}  # (10 + 1) * 0.1: the lowest, of the first pair
    mixed = np.arange(20) % 10  # each has a low and a high one
    assert choose_thresholds(probabilities, np.zeros(20, int), mixed, ["a", "b"], sensitivity=0.8) == {
        "a": pytest.approx(probabilities[1, 0])
    }


def test_a_further_patient_is_found_with_the_chosen_probability_though_films_are_alike() -> None:
    """20 patients with five films each; by films the threshold would promise too much."""
    rng, found = np.random.default_rng(1), []
    for _ in range(300):
        films = rng.normal(size=(60, 1)) + 0.3 * rng.normal(size=(60, 5))
        shown = 1 / (1 + np.exp(-films.ravel()))
        probabilities, groups = np.stack([shown, 1 - shown], axis=1), np.repeat(np.arange(60), 5)
        val = groups < 20
        chosen = choose_thresholds(probabilities[val], np.zeros(100, int), groups[val], ["a", "b"], sensitivity=0.9)
        found.append((shown[~val].reshape(40, 5).min(axis=1) >= chosen["a"]).mean())
    assert 0.89 <= np.mean(found) <= 0.96


def said(rng: np.random.Generator, images: int) -> tuple[Outputs, np.ndarray]:
    probabilities, labels = scores(rng, images)
    scored = rng.gamma(3, size=images).astype(np.float32)
    return Outputs(probabilities.astype(np.float32), np.zeros((images, 2), np.float32), scored), labels


def shares(outputs: Outputs, thresholds: Thresholds) -> tuple[int, int]:
    doubted = outputs.probabilities.max(axis=1) < thresholds.abstain
    return int(doubted.sum()), int((outputs.ood_score > thresholds.out_of_distribution).sum())


def test_so_many_are_doubted_and_turned_away_as_may_be() -> None:
    outputs, labels = said(np.random.default_rng(0), 2_000)
    found = fit_thresholds(
        outputs, labels, np.arange(len(labels)), "ab", abstain_share=0.1, turned_away_share=0.05, sensitivity=0.9
    )
    assert shares(outputs, found) == (200, 100)
    assert found.by_class == choose_thresholds(
        outputs.probabilities, labels, np.arange(len(labels)), "ab", sensitivity=0.9
    )
    none = fit_thresholds(
        outputs, labels, np.arange(len(labels)), "ab", abstain_share=0, turned_away_share=0, sensitivity=None
    )
    assert shares(outputs, none) == (0, 0)
    assert (none.sensitivity, none.by_class) == (None, {})


@pytest.mark.parametrize("images", [37, 320])
def test_another_graph_of_the_model_doubts_and_turns_away_as_many(images: int) -> None:
    """Its scores may lie elsewhere altogether; a threshold of the one would turn away all of the other's images."""
    outputs, labels = said(np.random.default_rng(1), images)
    given = fit_thresholds(
        outputs, labels, np.arange(len(labels)), "ab", abstain_share=0.1, turned_away_share=0.05, sensitivity=0.8
    )
    other = replace(outputs, probabilities=outputs.probabilities**0.5 / 2, ood_score=3 * outputs.ood_score + 40)
    assert shares(other, given)[1] == images
    found = carried_over(given, outputs, other, labels, np.arange(len(labels)), "ab")
    assert shares(other, found) == shares(outputs, given)
    assert found.by_class == choose_thresholds(
        other.probabilities, labels, np.arange(len(labels)), "ab", sensitivity=0.8
    )


def test_a_limit_that_val_does_not_reach_stays_where_it_is() -> None:
    outputs, labels = said(np.random.default_rng(1), 50)
    given = Thresholds(abstain=0.01, out_of_distribution=99.0)
    assert (
        carried_over(given, outputs, replace(outputs, ood_score=2 * outputs.ood_score), labels, np.arange(50), "ab")
        == given
    )


def test_what_is_reached_is_told_with_its_interval() -> None:
    positive = np.array([True] * 40 + [False] * 60)
    called = np.array([True] * 30 + [False] * 10 + [True] * 6 + [False] * 54)
    found = reached(positive, called, np.arange(100), resamples=400, level=0.95, seed=0)
    for name, value, images in (("sensitivity", 0.75, 40), ("specificity", 0.9, 60)):
        share, bounds = found[name]
        assert share == value
        exact = binomtest(int(value * images), images).proportion_ci(0.95, method="exact")
        assert (bounds.low, bounds.high) == pytest.approx((exact.low, exact.high), abs=0.02)


def test_a_class_that_no_image_has_has_no_sensitivity() -> None:
    found = reached(np.zeros(10, bool), np.zeros(10, bool), np.arange(10), resamples=100, level=0.95, seed=0)
    value, bounds = found["sensitivity"]
    assert math.isnan(value)
    assert math.isnan(bounds.low)
    value, bounds = found["specificity"]
    assert (value, bounds.high) == (1, 1)
    assert bounds.low == pytest.approx(0.025 ** (1 / 10))


def test_one_patient_gives_no_interval() -> None:
    found = reached(
        np.array([True, True, False]), np.array([True, False, False]), np.zeros(3), resamples=100, level=0.95, seed=0
    )
    assert found["sensitivity"][0] == 0.5
    assert math.isnan(found["sensitivity"][1].low)
