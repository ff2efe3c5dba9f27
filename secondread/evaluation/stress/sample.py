"""Some of many images, each class with its share, so that what runs a model dozens of times stays short."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.evaluation.metrics.arrays import IntArray


def stratified(
    labels: IntArray, *, at_most: int, seed: int, patients: npt.NDArray[Any] | None = None
) -> npt.NDArray[np.int64]:
    """Choose images so that the classes keep their shares, but for rounding; each class keeps one at least.

    Args:
        labels: int (images,).
        at_most: images to choose, unless there are more classes.
        seed: of numpy's PCG64.
        patients: (images,); where given, one image of each patient is chosen at most, so that images are independent.
    Returns:
        int64 (chosen,), rising positions.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    if patients is not None:
        order = order[np.unique(patients[order], return_index=True)[1]]
        order = np.random.default_rng(seed).permutation(order)
    if len(order) > at_most:
        chosen = labels[order]
        present, counts = np.unique(chosen, return_counts=True)
        quotas = _quotas(counts, at_most)
        order = np.concatenate([order[chosen == label][:quota] for label, quota in zip(present, quotas, strict=True)])
    return np.sort(order).astype(np.int64)


def _quotas(counts: npt.NDArray[np.int64], at_most: int) -> list[int]:
    """Images of each class: one, and the rest by largest remainder."""
    left = max(0, at_most - len(counts))
    exact = (counts - 1) * left / max(1, (counts - 1).sum())
    quotas = np.floor(exact).astype(int)
    missing = min(left, int((counts - 1).sum())) - quotas.sum()
    quotas[np.argsort(quotas - exact, kind="stable")[:missing]] += 1
    return [int(quota) + 1 for quota in quotas]
