"""How far one set has moved from another: how large the shift is, and whether chance would give it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import rel_entr
from scipy.stats import permutation_test

from secondread.data.versions.drift import Drift, dataset_drift, population_stability_index


def images(count: int, *, seed: int = 0, **columns: object) -> pd.DataFrame:
    """Rows of independent images; a column is drawn anew unless it is given."""
    rng = np.random.default_rng(seed)
    drawn = {
        "label": rng.choice(["covid", "normal"], count),
        "source": rng.choice(["one", "two"], count),
        "sex": rng.choice(["F", "M", ""], count),
        "age": rng.normal(55, 15, count).round(),
        "longer_side": np.full(count, 1024),
        "group": np.arange(count),
    }
    return pd.DataFrame({**drawn, **columns})


def found(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Drift]:
    return {item.name: item for item in dataset_drift(before, after)}


def test_psi_is_the_divergence_in_both_directions() -> None:
    before, after = np.array([40_000, 35_000, 25_000]), np.array([20_000, 50_000, 30_000])
    p, q = before / before.sum(), after / after.sum()
    expected = rel_entr(p, q).sum() + rel_entr(q, p).sum()
    assert population_stability_index(before, after) == pytest.approx(expected, rel=1e-3)
    assert population_stability_index(after, before) == pytest.approx(expected, rel=1e-3)
    assert population_stability_index(before, before * 3) == pytest.approx(0, abs=1e-6)


def test_psi_of_a_bin_that_only_one_version_has_is_large_and_finite() -> None:
    assert 1 < population_stability_index(np.array([500, 500]), np.array([1000, 0])) < 20


def test_two_draws_from_one_stock_have_not_drifted() -> None:
    for item in dataset_drift(images(800, seed=1), images(700, seed=2)):
        assert item.severity == "none", item
        assert item.psi < 0.1


def test_what_moved_is_named_first_with_its_figures() -> None:
    before = images(600, seed=1)
    after = images(600, seed=2, source="three", age=np.random.default_rng(3).normal(62, 15, 600))
    first, second, *rest = dataset_drift(before, after)
    assert (first.name, first.severity) == ("source", "serious")
    assert first.bins == ("three", "one", "two")
    assert first.after == (1.0, 0.0, 0.0)
    assert first.before[0] == 0
    assert "very different" in first.sentence
    assert "'three': 0% before, 100% after" in first.sentence
    assert second.name == "age"
    assert second.severity in ("worth a look", "serious")
    assert f"median 55 before, {after['age'].median():.4g} after" in second.sentence
    assert {item.severity for item in rest} == {"none"}


def test_shares_of_the_bins_add_up_and_those_not_known_are_one() -> None:
    before, after = images(300, seed=1), images(300, seed=2)
    after.loc[:99, "age"] = np.nan
    for item in dataset_drift(before, after):
        assert sum(item.before) == pytest.approx(1)
        assert sum(item.after) == pytest.approx(1)
        assert len(item.bins) == len(item.before) == len(item.after)
    age = found(before, after)["age"]
    assert age.bins[-1] == "not known"
    assert (age.before[-1], age.after[-1]) == (0, pytest.approx(1 / 3))
    assert age.severity == "serious"


def test_the_test_agrees_with_permutations() -> None:
    before = images(120, seed=1, sex=["F"] * 50 + ["M"] * 70)
    after = images(100, seed=2, sex=["F"] * 58 + ["M"] * 42)

    def difference(left: np.ndarray, right: np.ndarray) -> float:
        return abs(left.mean() - right.mean())

    as_numbers = [(rows["sex"] == "F").to_numpy(float) for rows in (before, after)]
    expected = permutation_test(as_numbers, difference, n_resamples=4000, alternative="greater", rng=0).pvalue
    assert found(before, after)["sex"].p_value == pytest.approx(expected, abs=0.02)


def test_a_shift_that_chance_would_give_is_none() -> None:
    item = found(images(12, seed=1, sex=["F"] * 4 + ["M"] * 8), images(12, seed=2, sex=["F"] * 7 + ["M"] * 5))["sex"]
    assert item.psi > 0.2
    assert item.severity == "none"
    assert "chance" in item.sentence


def test_a_hundred_images_of_one_patient_are_one_witness() -> None:
    before, after = images(100, seed=1, sex="F"), images(100, seed=2, sex="M")
    assert found(before, after)["sex"].severity == "serious"
    one = found(before.assign(group=0), after.assign(group=0))["sex"]
    assert one.severity == "none"


def test_a_size_that_only_one_version_has_is_seen() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(700, 3000, 400)
    before = images(400, seed=1, longer_side=np.where(np.arange(400) < 200, 1024, sizes))
    after = images(400, seed=2, longer_side=np.where(np.arange(400) < 200, 1000, sizes))
    item = found(before, after)["longer_side"]
    assert item.psi > 0.25
    assert item.severity == "serious"


def test_what_neither_version_knows_is_left_out_and_what_is_the_same_says_so() -> None:
    drifts = found(images(50, seed=1, sex=""), images(50, seed=2, sex=""))
    assert "sex" not in drifts
    assert drifts["longer_side"].sentence == "the same of all images of both versions"


def test_many_rare_values_are_one() -> None:
    names = [f"site {number % 40}" for number in range(400)]
    item = found(images(400, seed=1, source=names), images(400, seed=2, source=names))["source"]
    assert len(item.bins) == 21
    assert item.bins[-1] == "other"
    assert item.severity == "none"
