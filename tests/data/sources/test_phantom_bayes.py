from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy.stats import truncnorm

from secondread.data.sources.phantom.bayes import (
    TOLERANCE,
    bayes_classify,
    best_reachable_accuracy,
    label_posterior,
)
from secondread.data.sources.phantom.latents import DEVIATION, LARGEST, MEANS, PATTERNS, draw_amounts, posterior
from secondread.data.sources.phantom.plan import Case, plan
from secondread.data.sources.phantom.spec import PhantomSpec, parse_uri

IMAGES = 20_000


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(plan(parse_uri(f"phantom://demo?images={IMAGES}&seed=5")))


def _half_width(share: float, n: int) -> float:
    """Of the 99.9 % interval of a binomial share."""
    return 3.29 * math.sqrt(share * (1 - share) / n)


def _named(cases: list[Case], spec: PhantomSpec) -> list[str]:
    """What the Bayes classifier calls each case."""
    names = []
    for modality in spec.modalities:
        classes = spec.classes_of(modality)
        amounts = np.array([case.amounts for case in cases if case.modality == modality])
        names.append(iter([classes[index] for index in bayes_classify(amounts, classes)]))
    of = dict(zip(spec.modalities, names, strict=True))
    return [next(of[case.modality]) for case in cases]


def _density(amounts: np.ndarray, mean: float) -> np.ndarray:
    """scipy's truncated normal, the independent opinion."""
    low, high = (0 - mean) / DEVIATION, (LARGEST - mean) / DEVIATION
    return np.asarray(truncnorm.pdf(amounts, low, high, loc=mean, scale=DEVIATION))


def test_the_posterior_is_that_of_scipys_densities() -> None:
    classes = tuple(MEANS["cxr"])
    amounts = np.random.default_rng(1).uniform(0, LARGEST, (500, len(PATTERNS["cxr"])))
    likelihood = np.stack(
        [np.prod([_density(amounts[:, j], m) for j, m in enumerate(MEANS["cxr"][name])], axis=0) for name in classes],
        axis=1,
    )
    expected = likelihood / likelihood.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(posterior(amounts, classes), expected, rtol=1e-9, atol=1e-12)


def test_drawn_amounts_have_the_mean_of_their_distribution() -> None:
    rng = np.random.default_rng(2)
    drawn = np.array([draw_amounts("oct-cnv", rng) for _ in range(4000)])
    for j, mean in enumerate(MEANS["oct"]["oct-cnv"]):
        low, high = (0 - mean) / DEVIATION, (LARGEST - mean) / DEVIATION
        expected = truncnorm(low, high, loc=mean, scale=DEVIATION)
        assert abs(drawn[:, j].mean() - expected.mean()) < 4 * expected.std() / math.sqrt(len(drawn))
    assert drawn.min() >= 0
    assert drawn.max() <= LARGEST


def test_two_classes_agree_with_quadrature() -> None:
    """DME and normal differ in two amounts, so that the integral of the larger density can be taken on a grid."""
    spec = parse_uri("phantom://oct?classes=oct-dme,oct-normal&wrong_labels=0")
    step = LARGEST / 1000
    grid = (np.arange(1000) + 0.5) * step
    dme, normal = (
        _density(grid, MEANS["oct"][name][0])[:, None] * _density(grid, MEANS["oct"][name][1])[None, :]
        for name in ("oct-dme", "oct-normal")
    )
    exact = float(np.maximum(dme, normal).sum() * step * step / 2)
    assert best_reachable_accuracy(spec) == pytest.approx(exact, abs=TOLERANCE)


def test_by_default_the_best_is_between_90_and_96_percent() -> None:
    assert 0.90 <= best_reachable_accuracy(PhantomSpec()) <= 0.96


def test_the_bayes_classifier_reaches_it_on_a_large_sample(cases: list[Case]) -> None:
    spec = PhantomSpec(images=IMAGES, seed=5)
    best = best_reachable_accuracy(spec)
    reached = np.mean([name == case.label for name, case in zip(_named(cases, spec), cases, strict=True)])
    assert abs(reached - best) < _half_width(best, IMAGES) + TOLERANCE


def test_a_reader_who_misjudges_amounts_does_worse(cases: list[Case]) -> None:
    """The bound is tight: nearest mean, with every amount taken for a third more than it is, stays below it."""
    spec = PhantomSpec(images=IMAGES, seed=5)
    nearest = [
        min(
            spec.classes_of(case.modality),
            key=lambda name: math.dist(MEANS[case.modality][name], [amount * 4 / 3 for amount in case.amounts]),
        )
        for case in cases
    ]
    hits = np.mean([name == case.label for name, case in zip(nearest, cases, strict=True)])
    best = best_reachable_accuracy(spec)
    assert best - 0.1 < hits < best - _half_width(best, IMAGES)


def test_wrong_labels_have_the_stated_share_and_stay_in_the_modality(cases: list[Case]) -> None:
    wrong = [case for case in cases if case.label != case.true_class]
    assert abs(len(wrong) / IMAGES - 0.03) < _half_width(0.03, IMAGES)
    assert all(case.label[:3] == case.true_class[:3] for case in wrong)
    pairs = Counter((case.true_class, case.label) for case in wrong)
    assert len(pairs) == 5 * 4 + 4 * 3  # every other class of the modality is named


def test_overlap_accounts_for_the_rest(cases: list[Case]) -> None:
    """best = (1 - e) B + e (1 - B) / (K - 1) in each modality, B the best with right labels only."""
    for modality, others in (("cxr", 4), ("oct", 3)):
        right = best_reachable_accuracy(parse_uri(f"phantom://{modality}?wrong_labels=0"))
        expected = 0.97 * right + 0.03 * (1 - right) / others
        assert best_reachable_accuracy(parse_uri(f"phantom://{modality}")) == pytest.approx(expected, abs=1e-9)
    spec = PhantomSpec(images=IMAGES, seed=5, wrong_labels=0.0)
    overlapping = 1 - best_reachable_accuracy(spec)
    missed = np.mean([name != case.true_class for name, case in zip(_named(cases, spec), cases, strict=True)])
    assert overlapping > 0.02
    assert abs(missed - overlapping) < _half_width(overlapping, IMAGES) + TOLERANCE


def test_the_share_of_each_modality_weighs_by_its_classes() -> None:
    cxr, both, oct_ = (best_reachable_accuracy(parse_uri(f"phantom://{name}")) for name in ("cxr", "demo", "oct"))
    assert both == pytest.approx((5 * cxr + 4 * oct_) / 9)


def test_a_lone_class_is_always_right() -> None:
    spec = parse_uri("phantom://demo?classes=cxr-covid,oct-cnv")
    assert best_reachable_accuracy(spec) == 1.0
    assert all(case.label == case.true_class for case in plan(parse_uri("phantom://cxr?classes=cxr-covid&images=200")))


def test_label_posteriors_sum_to_one_and_keep_the_order() -> None:
    classes = tuple(MEANS["oct"])
    amounts = np.random.default_rng(3).uniform(0, LARGEST, (200, 3))
    labels = label_posterior(amounts, classes, wrong_labels=0.2)
    np.testing.assert_allclose(labels.sum(axis=1), 1.0)
    assert np.array_equal(labels.argmax(axis=1), bayes_classify(amounts, classes))
