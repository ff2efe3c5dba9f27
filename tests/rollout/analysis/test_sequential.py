"""The evidence is what the papers say, and stays honest however often it is looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import beta, binom, chi2

from secondread.rollout.analysis.sequential import alike, alike_beside, log_evidence, log_evidence_above

ALPHA = 0.05


def mixture(events: int, trials: int) -> float:
    """Probability of the counts, averaged over Jeffreys' prior, by numerical integration."""
    return quad(lambda share: binom.pmf(events, trials, share) * beta.pdf(share, 0.5, 0.5), 0, 1, limit=500)[0]


def by_definition(events: int, trials: int, base_events: int, base_trials: int, margin: float) -> float:
    """Both averages over the highest probability that the hypothesis allows, found by a general optimiser."""

    def log_probability(base: float, share: float) -> float:
        return float(binom.logpmf(events, trials, share) + binom.logpmf(base_events, base_trials, base))

    free, base_free = events / trials, base_events / base_trials
    if free - base_free <= margin:
        highest = log_probability(base_free, free)
    else:
        low, high = max(0.0, -margin), min(1.0, 1.0 - margin)
        found = minimize_scalar(
            lambda base: -log_probability(base, min(1.0, base + margin)),
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-12},
        )
        highest = -found.fun
    return math.log(mixture(events, trials)) + math.log(mixture(base_events, base_trials)) - highest


@pytest.mark.parametrize(
    ("counts", "margin"),
    [
        ((5, 100, 8, 900), 0.0),
        ((30, 600, 5, 700), 0.0025),
        ((9, 10, 1, 30), 0.1),
        ((1, 40, 20, 60), 0.0),
        ((95, 100, 930, 1000), -0.01),
        ((40, 50, 40, 50), -0.2),
        ((3, 200, 0, 150), 0.005),
    ],
)
def test_it_is_the_mixture_over_the_highest_probability_that_is_allowed(
    counts: tuple[int, int, int, int], margin: float
) -> None:
    found = log_evidence(*(np.array([float(each)]) for each in counts), np.array([margin]))
    assert found == pytest.approx([by_definition(*counts, margin)], abs=1e-5)


@pytest.mark.parametrize(("events", "trials", "limit"), [(5, 100, 0.01), (0, 50, 0.01), (30, 40, 0.5), (40, 40, 0.5)])
def test_one_side_alone_is_held_to_a_limit(events: int, trials: int, limit: float) -> None:
    expected = math.log(mixture(events, trials)) - float(binom.logpmf(events, trials, min(limit, events / trials)))
    assert float(log_evidence_above(np.array(events), np.array(trials), np.array(limit))) == pytest.approx(expected)


def test_without_data_there_is_no_evidence() -> None:
    nothing = np.zeros(1)
    assert log_evidence(nothing, nothing, nothing, nothing, np.array([0.0])) == [0.0]
    assert float(log_evidence_above(nothing[0], nothing[0], np.array(0.01))) == 0.0
    many = np.array([1000.0])
    assert log_evidence(many, many, nothing, nothing, np.array([0.0])) <= 0


def test_looking_at_every_tick_finds_nothing_where_there_is_nothing() -> None:
    """Where the shares are the very same and it is looked 200 times, at most one in twenty is found at level 0.05.

    Fisher's test at each look finds several times as many; that is why it is not used.
    """
    generator = np.random.default_rng(1)
    looks, repeats = 200, 400
    events = generator.binomial(60, 0.1, (looks, repeats)).cumsum(axis=0).astype(float)
    base_events = generator.binomial(60, 0.1, (looks, repeats)).cumsum(axis=0).astype(float)
    trials = np.repeat(60.0 * np.arange(1, looks + 1)[:, np.newaxis], repeats, axis=1)
    found = log_evidence(events, trials, base_events, trials, np.zeros_like(trials)) >= math.log(1 / ALPHA)
    assert found.any(axis=0).mean() <= ALPHA
    share, base = events / trials, base_events / trials
    spread = np.sqrt((share * (1 - share) + base * (1 - base)) / trials)
    peeking = (share - base) / spread > 1.645
    assert peeking.any(axis=0).mean() > 3 * ALPHA


def test_it_finds_what_is_there() -> None:
    events, trials = np.array([30.0]), np.array([600.0])
    assert log_evidence(events, trials, np.array([5.0]), np.array([5400.0]), np.array([0.0025])) > math.log(1 / 1e-9)


def test_independent_requests_count_as_one_each_and_bursts_do_not() -> None:
    generator = np.random.default_rng(2)
    trials = np.full(2000, 200.0)
    independent = generator.binomial(200, 0.05, (2000, 1)).astype(float)
    assert alike(independent, trials) == pytest.approx([1.0], abs=0.1)
    in_fours = 4.0 * generator.binomial(50, 0.05, (2000, 1))
    assert alike(in_fours, trials) == pytest.approx([4.0], abs=0.4)
    assert alike(independent[:1], trials[:1]) == [1.0]
    assert alike(np.zeros((5, 1)), np.full(5, 10.0)) == [1.0]


def test_minutes_that_are_bad_for_both_cancel_and_those_of_one_do_not() -> None:
    generator = np.random.default_rng(3)
    trials = np.full(500, 200.0)
    minutes, others = generator.uniform(0.05, 0.35, (2, 500, 1))
    events, base = (generator.binomial(200, minutes).astype(float) for _ in range(2))
    factor = 499 / chi2.ppf(0.01, 499)
    assert alike_beside(events, trials, base, trials, sure=0.99) == pytest.approx([factor], rel=0.15)
    apart = generator.binomial(200, others).astype(float)
    assert alike_beside(events, trials, apart, trials, sure=0.99) > 5
    assert alike_beside(events[:1], trials[:1], base[:1], trials[:1], sure=0.99) == [np.inf]


def test_a_few_windows_bound_what_is_alike_as_often_as_they_say() -> None:
    generator = np.random.default_rng(4)
    trials = np.full(5, 200.0)
    found = [
        alike_beside(
            *(generator.binomial(200, generator.beta(8, 72, (5, 1))).astype(float), trials),
            *(generator.binomial(200, generator.beta(8, 72, (5, 1))).astype(float), trials),
            sure=0.9,
        )[0]
        for _ in range(500)
    ]
    true = 1 + 199 / 81  # of beta-binomial counts
    assert 0.85 <= np.mean(np.array(found) >= true) <= 0.97
