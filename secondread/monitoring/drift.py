"""How far what a model is asked lately has moved from what it was asked on val.

Two figures for each of predicted classes, confidence and embeddings: how large the shift is, and how often chance alone
would give as large a one. The size says whether it matters, the p-value whether it is there.

PSI     population stability index of predicted classes, and of confidence in bins that the reference fills evenly: the
        sum over bins of (q - p) ln(q / p), for shares p of the reference and q of late. By custom little has changed
        below 0.1, and much from 0.25 on. Its flaw: images that did not drift at all give (bins - 1) (1/n + 1/m) on
        average, which is 0.11 for ten bins, 100 images and a reference of 500; so it never stands alone here.
MMD     squared maximum mean discrepancy of embeddings, unbiased, with a Gaussian kernel whose width is the median
        distance in the reference: 0 on average where nothing drifted, and then below 0 half of the time; below 2.
p       share of random splits of all images, the reference's and those of late, that differ as much. Whole groups
        are split, since images that come together are alike however nothing drifted.

Source: Yurdakul & Naranjo, "Statistical properties of the population stability index", Journal of Risk Model Validation
14(4), 2020; Gretton et al., "A kernel two-sample test", JMLR 13, 2012, Lemma 6 and section 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.config.serve import LEAST_DRIFT_IMAGES
from secondread.monitoring.answers import Answers

_SPLITS = 999  # so that p can be as low as 0.001
_BINS = 10  # of confidence
_SMOOTHING = 0.5  # images added to each bin, so that an empty one does not make the PSI infinite
_SAME = 1e-4  # of the kernel's width: embeddings no farther apart are of one image that came twice
_ROUNDING = 1e-9  # of a figure: splits with the same counts must count as equal
_NAN = float("nan")

Values = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.integer[Any]]
# 1 or 0, (images, 1 + splits), the reference's images first: which ones count as late; in the first column, which are
Splits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Drift:
    """What was found; NaN where there are too few images to tell.

    Attributes:
        images: late ones that were looked at.
        predictions_psi: of the predicted classes, 0 or more.
        predictions_psi_expected: mean of it over the random splits: what images that did not drift would give.
        predictions_p_value: in [0.001, 1].
        confidence_psi, confidence_psi_expected, confidence_p_value: the same of the confidence.
        embedding_mmd2: squared maximum mean discrepancy of the embeddings, around 0 where nothing drifted.
        embedding_p_value: in [0.001, 1].
    """

    images: int
    predictions_psi: float = _NAN
    predictions_psi_expected: float = _NAN
    predictions_p_value: float = _NAN
    confidence_psi: float = _NAN
    confidence_psi_expected: float = _NAN
    confidence_p_value: float = _NAN
    embedding_mmd2: float = _NAN
    embedding_p_value: float = _NAN


def find_drift(reference: Answers, late: Answers, *, seed: int = 0) -> Drift:
    """Compare what a model answered lately with what it answered on val.

    Sizes are told from `LEAST_DRIFT_IMAGES` on either side on, p-values from as many independent ones: a group counts
    once, and late images with the same embedding are one that came twice. p-values hold as far as groups are
    independent: of a patient whose images came apart, nobody knows here.

    Args:
        reference: of val; in the order of the model's classes.
        late: of the same graph.
        seed: of the random splits; the same answers give the same figures.
    """
    if min(len(reference), len(late)) < LEAST_DRIFT_IMAGES:
        return Drift(len(late))
    distances, width = _distances(reference, late)
    with_repeats = _repeats_grouped(late.group, distances[len(reference) :, len(reference) :], width)
    groups = reference.group, with_repeats
    splits = _splits(groups, np.random.default_rng(seed))
    edges = np.unique(np.quantile(reference.confidence, np.linspace(0, 1, _BINS + 1)[1:-1]))
    found = {
        "predictions_psi": _psi(np.concatenate([reference.predicted, late.predicted]), splits),
        "confidence_psi": _psi(np.searchsorted(edges, np.concatenate([reference.confidence, late.confidence])), splits),
        "embedding_mmd2": _mmd2(distances, width, splits),
    }
    figures = {name: float(values[0]) for name, values in found.items()}
    if min(map(_independent, groups)) >= LEAST_DRIFT_IMAGES:
        for name, values in found.items():
            if name.endswith("psi"):
                figures[f"{name}_expected"] = float(values[1:].mean())
            figures[f"{name.rpartition('_')[0]}_p_value"] = _p_value(values)
    return Drift(len(late), **figures)


def _distances(reference: Answers, late: Answers) -> tuple[Values, float]:
    """Squared distances of all embeddings, (images, images), and the kernel's width, the reference's median."""
    # about the reference's middle, which keeps the digits of what differs
    middle = reference.embedding.mean(axis=0, dtype=np.float64)
    points = np.concatenate([reference.embedding, late.embedding]).astype(np.float64) - middle
    lengths = np.square(points).sum(axis=1)
    squared = np.maximum(lengths[:, np.newaxis] + lengths - 2 * points @ points.T, 0)
    np.fill_diagonal(squared, 0)
    pairs = squared[np.triu_indices(len(reference), k=1)]
    return squared, float(np.sqrt(np.median(pairs)))


def _repeats_grouped(group: Indices, squared: Values, width: float) -> Indices:
    """Groups in which an image that came again has the group in which it came first."""
    first = (squared <= (_SAME * width) ** 2).argmax(axis=1)
    return np.asarray(group[first])


def _independent(group: Indices) -> float:
    """How many independent images so many are worth. Source: Kish, "Survey Sampling", 1965, section 11.7."""
    sizes = np.unique(group, return_counts=True)[1]
    return float(sizes.sum() ** 2 / np.square(sizes).sum())


def _splits(groups: tuple[Indices, Indices], rng: np.random.Generator) -> Splits:
    """The real split and random ones, each with as many late images as there are, up to half a group."""
    numbers = [np.unique(group, return_inverse=True)[1] for group in groups]
    together = np.concatenate([numbers[0], numbers[1] + numbers[0].max() + 1])
    sizes = np.bincount(together)
    order = rng.random((_SPLITS, len(sizes)), np.float32).argsort(axis=1)
    ends = sizes[order].cumsum(axis=1)
    chosen = np.empty_like(order, dtype=np.float32)
    np.put_along_axis(chosen, order, (ends - sizes[order] / 2 < len(groups[1])).astype(np.float32), axis=1)
    real = np.arange(len(together)) >= len(groups[0])
    return np.column_stack([real.astype(np.float32), chosen.T[together]])


def _psi(bins: Indices, splits: Splits) -> Values:
    """PSI of each split, (1 + splits,).

    Args:
        bins: int64 (images,), in which bin each image is.
        splits: of them.
    """
    used, bins = np.unique(bins, return_inverse=True)
    members = np.eye(len(used), dtype=np.float32)[:, bins]
    after = (members @ splits).astype(np.float64)
    before = members.sum(axis=1, keepdims=True) - after
    p, q = ((counts + _SMOOTHING) / (counts + _SMOOTHING).sum(axis=0) for counts in (before, after))
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=0))


def _mmd2(squared: Values, width: float, splits: Splits) -> Values:
    """Unbiased MMD^2 of each split, (1 + splits,); NaN where an embedding is no number, or val's are all the same."""
    if not width > 0:
        return np.full(splits.shape[1], _NAN)
    kernel = np.exp(squared / (-2 * width**2)).astype(np.float32)
    np.fill_diagonal(kernel, 0)  # an image is not compared with itself
    rows = (kernel @ splits).astype(np.float64)
    late, both = (splits * rows).sum(axis=0), rows.sum(axis=0)
    across = both - late
    before = kernel.sum(dtype=np.float64) - both - across
    m = splits.sum(axis=0, dtype=np.float64)
    n = len(splits) - m
    return np.asarray(before / (n * (n - 1)) + late / (m * (m - 1)) - 2 * across / (n * m))


def _p_value(values: Values) -> float:
    """Of the first one among all, itself counted. Source: Phipson & Smyth, Stat. Appl. Genet. Mol. Biol. 9(1), 2010."""
    if not np.isfinite(values).all():
        return _NAN
    return float((values >= values[0] - _ROUNDING).mean())
