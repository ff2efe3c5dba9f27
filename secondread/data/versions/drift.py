"""How far a later dataset version has moved from an earlier one: class mix, sources, patients, sizes, brightness.

Two figures for each thing: how large the shift is (population stability index, which the number of images hardly
touches) and whether chance alone would give as much (a two-sample test). A shift counts where both say so.

PSI = sum over bins of (q - p) ln(q / p), for shares p before and q after; below 0.1 little has changed, from 0.25 on
much has. Source: Siddiqi, "Credit Risk Scorecards", 2006; Yurdakul & Naranjo, Journal of Risk Model Validation, 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.data.audit.severity import LOOK, NONE, SERIOUS, SEVERITIES

NOT_KNOWN = "not known"
OTHER = "other"
LOOK_FROM, SERIOUS_FROM = 0.1, 0.25  # of the PSI, by its own convention
CHANCE_BELOW = 0.01  # p-value; a dozen things are compared at a time, and 0.05 would cry wolf every other time

CATEGORIES = {"label": "Class", "split": "Split", "source": "Source", "sex": "Sex", "view": "View"}
NUMBERS = {
    "age": "Age (years)",
    "longer_side": "Longer side (px, as stored)",
    "aspect": "Width / height",
    "brightness": "Mean brightness (grey level, 0 to 255)",
}

_BINS = 10  # of a number, with equal shares of both versions together
_FEW_VALUES = 12  # of a number; so few are compared one by one, such as the sizes of one scanner
_MOST_VALUES = 20  # of a category that are shown; the rest are one
_SMOOTHING = 0.5  # images added to each bin, so that an empty one does not make the PSI infinite
_LEAST_EXPECTED = 5  # images of a cell, below which the chi-squared test is not to be trusted

Shares = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Drift:
    """One thing that was compared.

    Attributes:
        name: of the column.
        title: for people, with the unit.
        bins: names of the bins, in order.
        before, after: share of images in each bin, 0 to 1.
        psi: population stability index, 0 or more.
        p_value: of the two-sample test; NaN where there is too little to test.
        severity: `none`, `worth a look` or `serious`.
        sentence: for people.
    """

    name: str
    title: str
    bins: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    psi: float
    p_value: float
    severity: str
    sentence: str


def dataset_drift(before: pd.DataFrame, after: pd.DataFrame) -> list[Drift]:
    """Compare all that both versions know, the largest shift first.

    The tests take one image a group: ten films of one patient are not ten witnesses. Images that are in both versions
    make them err on the careful side.

    Args:
        before: of the earlier version, a row an image, with any of the columns `CATEGORIES` and `NUMBERS`, and `group`.
            Strings are empty, and numbers NaN, where a thing is not known.
        after: likewise, of the later one.
    """
    alone = ~before["group"].duplicated(), ~after["group"].duplicated()
    found = []
    for name in (*CATEGORIES, *NUMBERS):
        if name not in before or name not in after:
            continue
        old, new = before[name], after[name]
        if name in NUMBERS:
            found.append(number_drift(name, NUMBERS[name], old, new, alone))
        elif _known(old).any() or _known(new).any():
            found.append(category_drift(name, CATEGORIES[name], old, new, alone))
    return sorted(found, key=lambda item: (-SEVERITIES.index(item.severity), -item.psi))


def category_drift(
    name: str, title: str, before: pd.Series, after: pd.Series, alone: tuple[pd.Series, pd.Series]
) -> Drift:
    """Compare the values of a category; the test is chi-squared.

    Args:
        name: as `Drift` has it.
        title: as `Drift` has it.
        before: strings, empty where not known.
        after: likewise, of the later version.
        alone: bool, whether an image is the one of its group that is tested.
    """
    old, new = (_text(values) for values in (before, after))
    together = pd.concat([old, new]).value_counts()
    bins = [str(value) for value in together.index[:_MOST_VALUES]]
    if len(together) > _MOST_VALUES:
        old, new = (values.where(values.isin(bins), OTHER) for values in (old, new))
        bins.append(OTHER)
    tested = _chi_squared(_counts(old[alone[0].to_numpy()], bins), _counts(new[alone[1].to_numpy()], bins))
    return _drift(name, title, bins, (_counts(old, bins), _counts(new, bins)), tested)


def number_drift(
    name: str, title: str, before: pd.Series, after: pd.Series, alone: tuple[pd.Series, pd.Series]
) -> Drift:
    """Compare the distribution of a number: Kolmogorov's and Smirnov's test of what is known, and how much is known.

    Args:
        name: as `Drift` has it.
        title: as `Drift` has it.
        before: float, NaN where not known.
        after: likewise, of the later version.
        alone: bool, whether an image is the one of its group that is tested.
    """
    from scipy.stats import ks_2samp

    old, new = (values.to_numpy(np.float64) for values in (before, after))
    edges, bins = _edges(old, new)
    counts = _histogram(old, edges), _histogram(new, edges)
    one_each = [values[mask.to_numpy()] for values, mask in zip((old, new), alone, strict=True)]
    left, right = (values[~np.isnan(values)] for values in one_each)
    known = [
        np.array([len(part), len(values) - len(part)]) for part, values in zip((left, right), one_each, strict=True)
    ]
    tests = [_chi_squared(*known)]
    if min(len(left), len(right)) >= 2:
        tests.append(float(ks_2samp(left, right).pvalue))
    tested = _either(tests)
    middles = tuple(float(np.nanmedian(values)) if not np.isnan(values).all() else None for values in (old, new))
    return _drift(name, title, bins, counts, tested, middles)


def population_stability_index(before: Counts, after: Counts) -> float:
    """PSI of two histograms over the same bins, each bin half an image fuller than it is.

    Args:
        before: int64 (bins,), images; not all zero.
        after: likewise, of the later version.
    """
    p, q = (_shares(counts + _SMOOTHING) for counts in (before, after))
    return float(((q - p) * np.log(q / p)).sum())


def _drift(
    name: str,
    title: str,
    bins: list[str],
    counts: tuple[Counts, Counts],
    p_value: float,
    middles: tuple[float | None, ...] = (),
) -> Drift:
    used = (counts[0] + counts[1]) > 0
    before, after = (values[used] for values in counts)
    named = [bin_name for bin_name, is_used in zip(bins, used, strict=True) if is_used]
    psi = population_stability_index(before, after)
    by_chance = bool(np.isnan(p_value) or p_value >= CHANCE_BELOW)
    severity = NONE if by_chance or psi < LOOK_FROM else LOOK if psi < SERIOUS_FROM else SERIOUS
    shares = _shares(before), _shares(after)
    only = "the same of all images of both versions"
    sentence = only if len(named) == 1 else _sentence(psi, p_value, severity) + _largest(named, *shares, middles)
    return Drift(
        name,
        title,
        tuple(named),
        tuple(shares[0].tolist()),
        tuple(shares[1].tolist()),
        psi,
        p_value,
        severity,
        sentence,
    )


def _sentence(psi: float, p_value: float, severity: str) -> str:
    chance = "too few to test" if np.isnan(p_value) else "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
    words = {SERIOUS: "very different", LOOK: "somewhat different", NONE: "about the same"}
    verdict = "no difference that chance would not give" if severity == NONE and psi >= LOOK_FROM else words[severity]
    return f"{verdict} (PSI {psi:.2f}, {chance})"


def _largest(bins: list[str], before: Shares, after: Shares, middles: tuple[float | None, ...]) -> str:
    if middles and None not in middles:
        return f"; median {middles[0]:.4g} before, {middles[1]:.4g} after"
    at = int(np.argmax(np.abs(after - before)))
    if f"{before[at]:.0%}" == f"{after[at]:.0%}":
        return ""
    return f"; most of all '{bins[at]}': {before[at]:.0%} before, {after[at]:.0%} after"


def _known(values: pd.Series) -> pd.Series:
    return values.astype("string").fillna("") != ""


def _text(values: pd.Series) -> pd.Series:
    return values.astype("string").fillna("").replace("", NOT_KNOWN)


def _counts(values: pd.Series, bins: list[str]) -> Counts:
    return np.asarray(values.value_counts().reindex(bins, fill_value=0), np.int64)


def _shares(counts: npt.NDArray[np.integer[Any] | np.floating[Any]]) -> Shares:
    return np.asarray(counts / max(counts.sum(), 1), np.float64)


def _edges(before: Shares, after: Shares) -> tuple[Shares, list[str]]:
    """Upper edges, each in its bin, and the names of the bins; the last but one is open, the last `not known`.

    Both versions have the same weight, so that a value which only one of them has gets a bin to itself.
    """
    known = [values[~np.isnan(values)] for values in (before, after)]
    values = np.concatenate(known)
    if not len(values):
        return np.array([]), ["any", NOT_KNOWN]
    distinct = np.unique(values)
    if len(distinct) <= _FEW_VALUES:
        return distinct[:-1], [*(f"{value:.4g}" for value in distinct), NOT_KNOWN]
    weights = np.concatenate([np.full(len(part), 1 / max(len(part), 1)) for part in known])
    inner = np.linspace(0, 1, _BINS + 1)[1:-1]
    edges = np.unique(np.quantile(values, inner, weights=weights, method="inverted_cdf"))
    names = [f"up to {edges[0]:.4g}"] + [f"up to {high:.4g}" for high in edges[1:]] + [f"above {edges[-1]:.4g}"]
    return edges, [*names, NOT_KNOWN]


def _histogram(values: Shares, edges: Shares) -> Counts:
    known = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    return np.append(counts, len(values) - len(known)).astype(np.int64)


def _either(p_values: list[float]) -> float:
    """The p-value of several tests together, by Bonferroni; NaN where none could be made."""
    made = [value for value in p_values if not np.isnan(value)]
    return min(1.0, len(made) * min(made)) if made else float("nan")


def _chi_squared(before: Counts, after: Counts) -> float:
    """The test's p-value; values too rare for it are taken together. NaN where one value is left."""
    from scipy.stats import chi2_contingency

    table = np.stack([before, after])
    total = table.sum()
    if not table.sum(axis=1).all():
        return float("nan")
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / total
    common = (expected >= _LEAST_EXPECTED).all(axis=0)
    rare = table[:, ~common].sum(axis=1, keepdims=True)
    pooled = np.concatenate([table[:, common], rare], axis=1) if rare.any() else table[:, common]
    if pooled.shape[1] < 2:
        return float("nan")
    return float(chi2_contingency(pooled, correction=False).pvalue)
