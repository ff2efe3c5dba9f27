"""Drift: the figures are what their definitions say, chance is told from a shift, and too few images give none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.distance import cdist, pdist
from scipy.stats import binom, kstest
from sklearn.metrics.pairwise import rbf_kernel
from threadpoolctl import threadpool_limits

from secondread.data.versions.drift import population_stability_index
from secondread.monitoring.answers import Answers
from secondread.monitoring.drift import Drift, find_drift

MIX = (0.5, 0.3, 0.2)


@pytest.fixture(scope="module", autouse=True)
def _one_core() -> Iterator[None]:
    """As a server has it; matrices as small as these are no quicker on two."""
    with threadpool_limits(1, user_api="blas"):
        yield


def answers(
    images: int,
    rng: np.random.Generator,
    *,
    mix: tuple[float, ...] = MIX,
    sure: float = 4.0,
    shift: float = 0.0,
    together: int = 1,
    likeness: float = 0.0,
) -> Answers:
    """Made answers: classes by their shares, confidence, embeddings around a place of each class.

    Images come `together` as one group, whose embeddings and class are alike.
    """
    groups = np.repeat(np.arange(-(-images // together)), together)[:images]
    predicted = rng.choice(len(mix), groups.max() + 1, p=mix)[groups]
    places = np.eye(len(mix), 6)
    own = rng.normal(size=(images, 6))
    shared = rng.normal(size=(groups.max() + 1, 6))[groups]
    return Answers(
        predicted=predicted,
        confidence=rng.beta(sure, 1, images).astype(np.float32),
        embedding=(places[predicted] + shift + likeness * shared + own).astype(np.float32),
        group=groups,
    )


def test_mmd_is_what_gretton_defines_with_the_median_distance_of_the_reference() -> None:
    rng = np.random.default_rng(0)
    reference, late = answers(180, rng), answers(150, rng, shift=0.2)
    x, y = (each.embedding.astype(np.float64) for each in (reference, late))
    gamma = 1 / (2 * np.median(pdist(x)) ** 2)
    same = [(rbf_kernel(part, gamma=gamma).sum() - len(part)) / (len(part) * (len(part) - 1)) for part in (x, y)]
    expected = sum(same) - 2 * rbf_kernel(x, y, gamma=gamma).mean()
    assert find_drift(reference, late).embedding_mmd2 == pytest.approx(expected, abs=1e-6)
    assert cdist(x, y).min() > 0


def test_psi_is_the_one_of_the_rest_of_the_library() -> None:
    rng = np.random.default_rng(1)
    reference, late = answers(300, rng), answers(200, rng, mix=(0.2, 0.3, 0.5), sure=2)
    found = find_drift(reference, late)
    counts = [np.bincount(each.predicted, minlength=3) for each in (reference, late)]
    assert found.predictions_psi == pytest.approx(population_stability_index(*counts))
    # searchsorted and quantile put a value that is an edge into the bin below it
    edges = [-np.inf, *np.quantile(reference.confidence, np.arange(0.1, 0.95, 0.1)), np.inf]
    binned = [np.histogram(-each.confidence, -np.array(edges)[::-1])[0] for each in (reference, late)]
    assert found.confidence_psi == pytest.approx(population_stability_index(*binned))


def test_the_expected_psi_is_the_mean_of_what_images_that_did_not_drift_give() -> None:
    rng = np.random.default_rng(2)
    runs = [find_drift(answers(250, rng), answers(100, rng), seed=seed) for seed in range(150)]
    found = np.mean([[each.predictions_psi, each.confidence_psi] for each in runs], axis=0)
    expected = np.mean([[each.predictions_psi_expected, each.confidence_psi_expected] for each in runs], axis=0)
    np.testing.assert_allclose(expected, found, rtol=0.25)
    # (bins - 1) (1 / n + 1 / m), of Yurdakul and Naranjo
    np.testing.assert_allclose(expected, np.array([2, 9]) * (1 / 250 + 1 / 100), rtol=0.1)


P_VALUES = ("predictions_p_value", "confidence_p_value", "embedding_p_value")


def p_values(runs: int, *, seed: int, images: int, together: int = 1, told: bool = True) -> npt.NDArray[np.float64]:
    """Of comparisons in which nothing has drifted: (runs, 3)."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        reference = answers(images, rng, likeness=1)
        late = answers(images, rng, together=together, likeness=1)
        if not told:
            late = replace(late, group=np.arange(images))
        drift = find_drift(reference, late, seed=int(rng.integers(2**31)))
        found.append([getattr(drift, name) for name in P_VALUES])
    return np.array(found)


def test_where_nothing_drifted_p_values_are_uniform() -> None:
    found = p_values(150, seed=3, images=150)
    for name, values in zip(P_VALUES, found.T, strict=True):
        assert kstest(values, "uniform").pvalue > 0.001, name
        alarms = (values <= 0.05).sum()
        assert binom.cdf(alarms - 1, 150, 0.05) < 0.999, (name, alarms)


def test_images_that_come_together_raise_no_alarm_where_it_is_known_and_many_where_it_is_not() -> None:
    known, unknown = (p_values(60, seed=4, images=400, together=4, told=told) for told in (True, False))
    for column in (0, 2):  # classes and embeddings are alike within a group
        alarms = (known[:, column] <= 0.05).sum()
        assert binom.cdf(alarms - 1, 60, 0.05) < 0.999, (P_VALUES[column], alarms)
        false_alarms = (unknown[:, column] <= 0.05).sum()
        assert binom.sf(false_alarms - 1, 60, 0.05) < 0.001, (P_VALUES[column], false_alarms)


@pytest.mark.parametrize(
    ("change", "statistic"),
    [
        ({"mix": (0.3, 0.3, 0.4)}, "predictions"),
        ({"sure": 2.0}, "confidence"),
        ({"shift": 0.15}, "embedding"),
    ],
)
def test_a_shift_is_found_by_the_figure_that_it_is_of(change: dict[str, object], statistic: str) -> None:
    rng = np.random.default_rng(5)
    runs = [asdict(find_drift(answers(500, rng), answers(300, rng, **change))) for _ in range(20)]  # type: ignore[arg-type]
    assert np.mean([run[f"{statistic}_p_value"] <= 0.01 for run in runs]) >= 0.9
    others = {"predictions", "confidence", "embedding"} - {statistic}
    if statistic == "predictions":
        others -= {"embedding"}  # each class has its place
    assert all(np.mean([run[f"{other}_p_value"] <= 0.01 for run in runs]) <= 0.2 for other in others)


def test_more_images_find_a_smaller_shift() -> None:
    rng = np.random.default_rng(6)
    found = [
        [find_drift(answers(500, rng), answers(n, rng, shift=0.1)).embedding_p_value for _ in range(20)]
        for n in (100, 500)
    ]
    few, many = (np.mean(np.array(values) <= 0.01) for values in found)
    assert many > few


@pytest.mark.parametrize(("reference", "late"), [(500, 99), (99, 500), (500, 0)])
def test_too_few_images_give_no_figure_and_never_nought(reference: int, late: int) -> None:
    rng = np.random.default_rng(7)
    drift = asdict(find_drift(answers(reference, rng), answers(max(late, 1), rng)))
    assert drift.pop("images") == max(late, 1)
    assert np.isnan(list(drift.values())).all()


def test_a_few_images_that_come_again_and_again_are_few() -> None:
    """Such as those of a load test: their shares are told, and chance is not."""
    rng = np.random.default_rng(8)
    once = answers(20, rng)
    again = rng.integers(20, size=500)
    jitter = 1 + rng.normal(0, 1e-7, (500, 1))  # of a run with other neighbours
    late = Answers(
        once.predicted[again],
        once.confidence[again],
        (once.embedding[again] * jitter).astype(np.float32),
        np.arange(500),
    )
    drift = find_drift(answers(500, rng), late)
    assert drift.images == 500
    assert drift.predictions_psi > 0
    assert np.isnan([getattr(drift, name) for name in P_VALUES]).all()


def test_the_same_answers_give_the_same_figures() -> None:
    rng = np.random.default_rng(9)
    reference, late = answers(300, rng), answers(200, rng)
    assert find_drift(reference, late) == find_drift(reference, late)


def test_embeddings_that_are_no_numbers_are_not_compared_and_the_rest_is() -> None:
    rng = np.random.default_rng(10)
    reference, late = answers(300, rng), answers(200, rng)
    late.embedding[3] = np.nan
    drift = find_drift(reference, late)
    assert np.isnan([drift.embedding_mmd2, drift.embedding_p_value]).all()
    assert drift.predictions_p_value > 0


def test_a_reference_whose_embeddings_are_all_the_same_says_nothing_of_embeddings() -> None:
    rng = np.random.default_rng(11)
    reference = replace(answers(300, rng), embedding=np.ones((300, 6), np.float32))
    drift = find_drift(reference, answers(200, rng))
    assert np.isnan([drift.embedding_mmd2, drift.embedding_p_value]).all()
    assert drift.confidence_psi > 0


def test_a_class_that_val_never_saw_predicted_counts() -> None:
    rng = np.random.default_rng(12)
    drift = find_drift(answers(500, rng), answers(500, rng, mix=(0.4, 0.25, 0.2, 0.15)))
    assert drift.predictions_psi > 0.25
    assert drift.predictions_p_value == 0.001


def test_no_figure_is_nought_by_default() -> None:
    assert [name for name, value in asdict(Drift(images=3)).items() if value == 0] == []
